"""Addresses of Redis: what our client and Feast are told, and what never leaks."""

import pytest
from feast.infra.online_stores.redis import RedisOnlineStore
from pydantic import SecretStr

from nearline.errors import InputError
from nearline.online.redis_address import feast_configuration, redis_address
from nearline.settings import Settings


def settings(url: str, cluster: bool = False, password: str | None = None) -> Settings:
    return Settings(
        online_store="redis",
        redis_url=SecretStr(url),
        redis_cluster=cluster,
        redis_password=password and SecretStr(password),
    )


@pytest.mark.parametrize(
    ("url", "expected", "parameters"),
    [
        ("redis://cache", "cache:6379,db=0", {"db": 0}),
        ("redis://cache:7000/3", "cache:7000,db=3", {"db": 3}),
        ("rediss://cache/0", "cache:6379,db=0,ssl=true", {"db": 0, "ssl": True}),
        (
            "redis://app:12345@cache",
            'cache:6379,db=0,username="app",password="${NEARLINE_REDIS_PASSWORD}"',
            {"db": 0, "username": "app", "password": "${NEARLINE_REDIS_PASSWORD}"},
        ),
    ],
)
def test_feast_is_told_the_same_address_without_the_password(
    url: str, expected: str, parameters: dict[str, object]
) -> None:
    told = feast_configuration(redis_address(settings(url)))
    assert told == {
        "type": "redis",
        "redis_type": "redis",
        "connection_string": expected,
    }
    _, read = RedisOnlineStore._parse_connection_string(expected)
    assert read == parameters


def test_a_password_of_digits_stays_a_text_for_feast() -> None:
    told = feast_configuration(redis_address(settings("redis://:00123@cache")))
    text = told["connection_string"].replace("${NEARLINE_REDIS_PASSWORD}", "00123")
    _, read = RedisOnlineStore._parse_connection_string(text)
    assert read["password"] == "00123"


def test_a_cluster_has_no_database() -> None:
    address = redis_address(settings("redis://cache", cluster=True))
    assert feast_configuration(address) == {
        "type": "redis",
        "redis_type": "redis_cluster",
        "connection_string": "cache:6379",
    }
    with pytest.raises(InputError, match="a cluster has one alone"):
        redis_address(settings("redis://cache/1", cluster=True))


def test_a_password_beside_the_address_goes_before_the_one_in_it() -> None:
    address = redis_address(settings("redis://:inside@cache", password="beside"))
    assert address.password == "beside"


@pytest.mark.parametrize(
    "url",
    [
        "http://:hidden@cache",
        "redis://:hidden@",
        "redis://:hidden@cache:port",
        "redis://:hidden@cache/first",
        "redis://:hidden@cache?db=1",
        "redis://:hidden@[::1]",
        "redis://:hidden,@cache",
        "redis://:hidden%22@cache",
        "redis://:hidden%20@cache",
        "hidden",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(url: str) -> None:
    wrong = settings(url)
    with pytest.raises(InputError) as refused:
        redis_address(wrong)
    told = f"{refused.value!r} {refused.value.__cause__!r} {wrong!r} {wrong}"
    assert "hidden" not in told
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_an_address_does_not_show_its_password() -> None:
    assert "hidden" not in repr(redis_address(settings("redis://:hidden@cache")))

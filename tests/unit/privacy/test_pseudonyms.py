"""Pseudonyms: the same for the same key, and nothing without it."""

import base64
import hashlib
import hmac
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter

from nearline.errors import InputError
from nearline.events.contract import Pseudonym
from nearline.privacy.pseudonyms import (
    Pseudonymizer,
    load_keyring,
    load_pseudonymizer,
    rotate_key,
)
from nearline.settings import Settings
from tests.unit.privacy.processes import run_at_once

KEY = b"0123456789abcdef"


def test_a_pseudonym_is_the_keyed_hash_of_source_and_identifier() -> None:
    # Independent: RFC 2104 by hand, with SHA-256's block of 64 bytes.
    padded = KEY.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded) + b"v\x1fshop\x1f4711")
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in padded) + inner.digest())
    text = base64.urlsafe_b64encode(outer.digest()[:16]).decode().rstrip("=")
    assert Pseudonymizer(KEY).visitor("shop", "4711") == f"v_{text}"
    assert hmac.new(KEY, b"v\x1fshop\x1f4711", "sha256").digest() == outer.digest()


def test_pseudonyms_differ_by_key_by_source_and_by_identifier() -> None:
    pseudonyms = {
        Pseudonymizer(key).visitor(source, identifier)
        for key in (KEY, b"another key, long")
        for source in ("shop", "app")
        for identifier in ("4711", "4712", "")
    }
    assert len(pseudonyms) == 12


@given(source=st.text(max_size=10), identifier=st.text(max_size=30))
def test_a_pseudonym_has_the_form_that_the_contract_asks_for(
    source: str, identifier: str
) -> None:
    pseudonym = Pseudonymizer(KEY).visitor(source, identifier)
    assert TypeAdapter(Pseudonym).validate_python(pseudonym) == pseudonym
    assert len(pseudonym) == 24


def test_one_installation_keeps_its_key(settings: Settings) -> None:
    first = load_pseudonymizer(settings)
    assert len(first.key) == 32
    assert load_pseudonymizer(settings) == first


def test_two_installations_have_different_keys(settings: Settings) -> None:
    other = settings.model_copy(update={"home": settings.home.with_name("other")})
    assert load_pseudonymizer(settings) != load_pseudonymizer(other)


def test_nobody_else_may_read_the_key(settings: Settings) -> None:
    load_pseudonymizer(settings)
    (key,) = settings.keys.iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.keys.stat().st_mode) == 0o700


def test_a_key_from_the_settings_makes_no_file(settings: Settings) -> None:
    secret = settings.model_copy(
        update={"pseudonym_key": SecretStr("sixteen letters!")}
    )
    assert load_pseudonymizer(secret).key == b"sixteen letters!"
    assert not settings.keys.exists()


@pytest.mark.parametrize("key", ["", "short", "fifteen letters"])
def test_a_key_too_short_to_protect_is_refused_without_repeating_it(
    settings: Settings, key: str
) -> None:
    weak = settings.model_copy(update={"pseudonym_key": SecretStr(key)})
    with pytest.raises(InputError, match="NEARLINE_PSEUDONYM_KEY") as problem:
        load_pseudonymizer(weak)
    assert not key or key not in str(problem.value)


@pytest.mark.parametrize("content", ["", "abcd", "not hexadecimal, and long enough"])
def test_a_damaged_key_is_not_replaced(settings: Settings, content: str) -> None:
    settings.keys.mkdir(parents=True)
    path = settings.keys / "pseudonym.key"
    path.write_text(content)
    with pytest.raises(InputError, match="damaged"):
        load_pseudonymizer(settings)
    assert path.read_text() == content


def test_processes_that_start_together_make_one_key(settings: Settings) -> None:
    imports = "from nearline.privacy.pseudonyms import load_pseudonymizer"
    program = "print(load_pseudonymizer(settings).visitor('shop', '4711'))"
    outputs = run_at_once(settings, imports, [program] * 4)
    assert set(outputs) == {load_pseudonymizer(settings).visitor("shop", "4711") + "\n"}
    assert [file.name for file in settings.keys.iterdir()] == ["pseudonym.key"]


def test_an_account_has_one_pseudonym_for_all_sources() -> None:
    text = hmac.new(KEY, b"u\x1f4711", "sha256").digest()[:16]
    expected = base64.urlsafe_b64encode(text).decode().rstrip("=")
    assert Pseudonymizer(KEY).user("4711") == f"u_{expected}"


def test_a_rotation_makes_new_pseudonyms_and_keeps_the_former_key(
    settings: Settings,
) -> None:
    first = load_pseudonymizer(settings)
    second = rotate_key(settings)
    assert (first.key_id, second.key_id) == ("k1", "k2")
    assert first.user("4711") != second.user("4711")
    assert load_pseudonymizer(settings) == second
    assert load_keyring(settings) == [first, second]
    assert rotate_key(settings).key_id == "k3"


def test_a_key_of_the_settings_is_rotated_there(settings: Settings) -> None:
    rotated = settings.model_copy(
        update={
            "pseudonym_key": SecretStr("sixteen letters!"),
            "pseudonym_key_id": "k2",
            "former_pseudonym_keys": {"k1": SecretStr("letters, sixteen")},
        }
    )
    assert load_keyring(rotated) == [
        Pseudonymizer(b"letters, sixteen", "k1"),
        Pseudonymizer(b"sixteen letters!", "k2"),
    ]
    with pytest.raises(InputError, match="NEARLINE_FORMER_PSEUDONYM_KEYS"):
        rotate_key(rotated)


def test_two_keys_of_one_id_are_refused(settings: Settings) -> None:
    same = settings.model_copy(
        update={
            "pseudonym_key": SecretStr("sixteen letters!"),
            "former_pseudonym_keys": {"k1": SecretStr("letters, sixteen")},
        }
    )
    with pytest.raises(InputError, match="both in use"):
        load_keyring(same)

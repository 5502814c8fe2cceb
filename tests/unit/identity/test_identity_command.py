"""What `nearline identity` says of a published release, and what it puts on the list."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nearline.errors import InputError
from nearline.identity.command import identity
from nearline.settings import Settings
from tests.releases import release_tables, write_release

BEN = ("v_ben000001", "u_ben000001")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a release: ben's device and account, anna's device refused to it."""
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    settings = Settings(home=tmp_path)
    tables = release_tables()
    write_release(
        settings.releases / "r1",
        {name: tables[name] for name in ("bridge_identities", "fct_identity_links")},
    )
    settings.published.symlink_to(settings.releases / "r1")
    return settings


def run(*arguments: str) -> str:
    done = CliRunner().invoke(identity, arguments)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def persons(identifier: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("explain", identifier, "--json"))[
        "persons"
    ]
    return found


@pytest.mark.parametrize("identifier", ["v_ben000001", "u_ben000001", "p_ben000001"])
def test_any_id_of_a_person_explains_it(settings: Settings, identifier: str) -> None:
    assert run("explain", identifier) == (
        "Person p_ben000001: 2 identifiers\n"
        "  user u_ben000001\n"
        "    first seen 2026-03-02 12:00:00\n"
        "  visitor v_ben000001\n"
        "    linked to u_ben000001 by signed_in_event, 2026-03-02 12:00:00, web "
        "(event e0000007)\n"
        "Links that do not hold:\n"
        "  v_anna00001 and u_ben000001: unlinked\n"
        "    signed_in_event, web, 1 event on 1 day, "
        "2026-03-02 12:00:00 to 2026-03-02 12:00:00\n"
        "The next `nearline run` relinks v_anna00001 and u_ben000001\n"
    )


def test_a_chain_of_links_is_told_up_to_who_names_the_person(
    settings: Settings,
) -> None:
    tables = release_tables()
    bridge = tables["bridge_identities"]
    ways = (("v_ben000001", "u_former001"), ("u_former001", "c_mail00001"))
    bridge[1]["linked_to"] = "u_former001"
    for kind, one, other_kind, other in (
        ("user", "u_former001", "contact", "c_mail00001"),
        ("contact", "c_mail00001", "user", "u_ben000001"),
    ):
        bridge.append(
            bridge[1]
            | {
                "identifier_type": kind,
                "identifier": one,
                "link_reason": "contact",
                "linked_to_type": other_kind,
                "linked_to": other,
            }
        )
    write_release(settings.releases / "r1", {"bridge_identities": bridge})

    (person,) = persons("v_ben000001")

    steps = {each["identifier"]: each["steps"] for each in person["members"]}
    assert [
        (step["identifier"], step["linked_to"]) for step in steps["v_ben000001"]
    ] == [*ways, ("c_mail00001", "u_ben000001")]
    assert steps["u_ben000001"] == []
    assert "    then linked to c_mail00001 by contact" in run("explain", "v_ben000001")


def test_a_visitor_alone_has_one_member_and_what_was_refused(
    settings: Settings,
) -> None:
    (person,) = persons("v_anna00001")

    assert [member["identifier"] for member in person["members"]] == ["v_anna00001"]
    assert [link["refused_reason"] for link in person["refused_links"]] == ["unlinked"]


def test_an_unlink_is_a_row_that_dbt_reads(settings: Settings) -> None:
    before = datetime.now()
    said = run("unlink", *BEN, "--reason", " sold the phone ")

    assert said == "unlinked; takes effect with the next `nearline run`\n"
    (row,) = pq.ParquetFile(settings.unlinks).read().to_pylist()
    assert row.pop("unlinked_at") >= before.replace(microsecond=0)
    assert row == {
        "identifier_type": "visitor",
        "identifier": "v_ben000001",
        "other_identifier_type": "user",
        "other_identifier": "u_ben000001",
        "reason": "sold the phone",
    }
    (person,) = persons("v_ben000001")
    assert [link["identifier"] for link in person["to_be_unlinked"]] == ["v_ben000001"]


def test_two_ids_are_unlinked_in_any_order_and_once(settings: Settings) -> None:
    run("unlink", *BEN, "--reason", "sold")
    again = json.loads(run("unlink", *reversed(BEN), "--reason", "again", "--json"))

    assert again["is_new"] is False
    assert [link["identifier"] for link in again["links"]] == ["v_ben000001"]
    (row,) = pq.ParquetFile(settings.unlinks).read().to_pylist()
    assert row["reason"] == "sold"


def test_a_relink_leaves_what_was_not_asked_for(settings: Settings) -> None:
    run("unlink", *BEN, "--reason", "sold")
    run("unlink", "v_anna00001", "u_ben000001", "--reason", "guest")

    said = run("relink", "u_ben000001", "v_ben000001")

    assert said == "relinked; takes effect with the next `nearline run`\n"
    (row,) = pq.ParquetFile(settings.unlinks).read().to_pylist()
    assert (row["identifier"], row["reason"]) == ("v_anna00001", "guest")
    assert "unlinked (guest)" in run("explain", "v_anna00001")
    with pytest.raises(InputError, match="were not unlinked"):
        run("relink", *BEN)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explain", "v_nobody0001"], "ID is not in the published bridge_identities"),
        (["explain", "jane@example.org"], "ID must be a pseudonym"),
        (["unlink", "v_nobody0001", BEN[1]], "A is not in the published"),
        (["unlink", BEN[0], "u_nobody0001"], "B is not in the published"),
        (["unlink", BEN[0], "4711"], "B must be a pseudonym"),
        (["unlink", BEN[0], "v_anna00001"], "no event names both A and B"),
        (["unlink", *BEN, "--reason", " "], "--reason must have 1 to 300 characters"),
        (["unlink", *BEN, "--reason", "ask jane@example.org"], "no e-mail address"),
        (["relink", *BEN], "A and B were not unlinked"),
    ],
)
def test_bad_input_is_told_and_not_repeated(
    settings: Settings, arguments: list[str], says: str
) -> None:
    if arguments[0] == "unlink" and "--reason" not in arguments:
        arguments = [*arguments, "--reason", "sold"]
    with pytest.raises(InputError) as problem:
        run(*arguments)

    assert says in str(problem.value)
    assert "jane" not in str(problem.value)
    assert not settings.unlinks.exists()


def test_without_a_release_there_is_nothing_to_explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="nothing is published yet"):
        run("explain", "v_ben000001")

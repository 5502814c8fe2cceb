"""The command as a user runs it."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nearline.audience.command import audience
from nearline.audience.members import MEMBER_SCHEMA
from nearline.errors import InputError, NearlineError
from tests.unit.audience.audience_release import publish
from tests.webhook_receiver import SECRET, running_crm


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    publish(tmp_path / "home")
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEARLINE_AUDIENCE_SECRET", raising=False)
    return tmp_path


def export(*arguments: str | Path) -> str:
    """What the command prints; its failure is raised."""
    done = CliRunner().invoke(
        audience,
        ["export", "cart_abandoner", *map(str, arguments)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_csv_has_a_row_a_person(home: Path) -> None:
    out = home / "made" / "carts.csv"
    printed = export("--to", "csv", "--out", out)
    assert printed == (
        f"4 people of cart_abandoner who consented to marketing, in {out} (release r1)\n"
        "left out: 2 were never asked, 1 said no\n"
    )
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "person_id": "p_ben",
        "user_ids": "u_ben00001",
        "contact_ids": "c_ben00001",
        "visitor_ids": "v_ben_0001 v_ben_0002",
        "member_since": "2026-03-01T09:30:00Z",
    }
    assert [row["person_id"] for row in rows] == ["p_ann", "p_ben", "p_eve", "p_hal"]


def test_parquet_has_the_same_people_and_json_counts_them(home: Path) -> None:
    out = home / "carts.parquet"
    printed = export("--to", "parquet", "--out", out, "--json")
    assert json.loads(printed) == {
        "segment": "cart_abandoner",
        "purpose": "marketing",
        "release_id": "r1",
        "member_count": 4,
        "left_out": {"never_asked": 2, "refused": 1, "suppressed": 0},
        "out": str(out),
        "batch_count": None,
    }
    table = pq.read_table(out)
    assert table.schema.equals(MEMBER_SCHEMA)
    assert table["person_id"].to_pylist() == ["p_ann", "p_ben", "p_eve", "p_hal"]


def test_a_webhook_gets_the_same_people(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_AUDIENCE_SECRET", SECRET.decode())
    with running_crm() as crm:
        printed = export("--to", "webhook", "--url", crm.url)
        assert "sent in 1 batch (" in printed
        assert crm.people() == ["p_ann", "p_ben", "p_eve", "p_hal"]
        crm.answers = [410]
        with pytest.raises(NearlineError, match="took 0 of 1 batches"):
            export("--to", "webhook", "--url", crm.url)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to", "csv"), "--to csv takes --out, and no --url"),
        (("--to", "webhook"), "--to webhook takes --url, and no --out"),
        (
            ("--to", "webhook", "--url", "https://crm.example/"),
            "NEARLINE_AUDIENCE_SECRET is not set",
        ),
    ],
    ids=["csv", "webhook", "secret"],
)
def test_options_that_do_not_go_together_are_refused(
    home: Path, arguments: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        export(*arguments)

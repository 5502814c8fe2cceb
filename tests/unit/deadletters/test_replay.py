"""A dead letter comes in mended, checked like any event, and once."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.deadletters import replays
from nearline.deadletters.letters import find_letters, get_letters
from nearline.deadletters.patching import Changes, parse_fix, parse_path
from nearline.deadletters.replay import Outcome, replay
from nearline.errors import InputError
from nearline.landing.from_log import land_log
from nearline.landing.landings import land_file, list_landings
from nearline.log import NewRecord, open_log
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, Record, all_bytes, write_events

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FIELDS: Record = {
    "event_id": "e_9",
    "event_name": "purchase",
    "schema_version": "1.1",
    "occurred_at": "2026-11-24T11:00:00.000Z",
    "source": "shop_web",
    "visitor_id": "v_ben000001",
    "revenue_cents": 100,
    "currency": "***",
    "items": [{"item_id": "a", "quantity": 1}],
}


def _refused_by_collector(settings: Settings, id_: str = "d_1", **fields: Any) -> str:
    fields = {**FIELDS, **fields}
    letter = {
        "deadletter_id": id_,
        "received_at": "2026-11-24T11:00:01.000Z",
        "source": "shop_web",
        "input": "event",
        "schema_version": "1.1",
        "event_name": "purchase",
        "field": "currency",
        "reason": "is missing; revenue_cents needs it",
        "fields": {name: value for name, value in fields.items() if value is not None},
    }
    with closing(open_log(settings, "deadletters")) as log:
        log.append([NewRecord(id_, json.dumps(letter).encode())])
    land_log(settings)
    return id_


def _refused_in_file(settings: Settings, tmp_path: Path, record: Record) -> str:
    path = write_events(tmp_path / "events.jsonl", [PAGE, record])
    landing = land_file(settings, path, "nearline")
    return f"{landing.landing_id}-2"


def _changes(*fixes: str, drops: tuple[str, ...] = ()) -> Changes:
    return Changes(
        fixes=tuple(map(parse_fix, fixes)), drops=tuple(map(parse_path, drops))
    )


def _replay(
    settings: Settings, id_: str, *fixes: str, drops: tuple[str, ...] = ()
) -> Outcome:
    letters = get_letters(settings, [id_])
    (outcome,) = replay(
        settings, letters, _changes(*fixes, drops=drops), clock=lambda: NOW
    )
    return outcome


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    for file in sorted(settings.raw.glob("format=*/landing_id=*/events*.parquet")):
        yield from pq.ParquetFile(file).read().to_pylist()


def _logged(settings: Settings) -> list[Record]:
    with closing(open_log(settings, "events")) as log:
        return [json.loads(record.value) for record in log.read(0, 0, 100)]


def test_what_the_collector_refused_goes_into_the_log_and_arrives_now(
    settings: Settings,
) -> None:
    id_ = _refused_by_collector(settings)

    outcome = _replay(settings, id_, "currency=EUR", "items.0.quantity=2")

    assert outcome == Outcome("d_1", "replayed", "e_9")
    assert _logged(settings) == [
        {
            **FIELDS,
            "currency": "EUR",
            "items": [{"item_id": "a", "quantity": 2}],
            "received_at": "2026-11-24T12:00:00.000Z",
        }
    ]
    (row,) = _rows(settings)
    assert (row["event_id"], row["source_file"]) == ("e_9", "log:events/0")
    assert row["occurred_at"] == datetime(2026, 11, 24, 11)
    assert row["received_at"] == datetime(2026, 11, 24, 12)


def test_what_a_file_held_is_landed_as_the_mended_file_would_have_been(
    settings: Settings, tmp_path: Path
) -> None:
    id_ = _refused_in_file(
        settings, tmp_path, {**PAGE, "event_id": "e_9", "scroll_rate": 7}
    )

    assert _replay(settings, id_, "scroll_rate=0.7").status == "replayed"

    assert not settings.log.exists()
    row = list(_rows(settings))[-1]
    assert {name: value for name, value in row.items() if value is not None} == {
        **PAGE,
        "event_id": "e_9",
        "scroll_rate": 0.7,
        "occurred_at": datetime(2026, 3, 2, 12, 5),
        "received_at": datetime(2026, 3, 2, 12, 5),
        "source_file": "replay:events.jsonl",
        "source_row": 2,
    }
    assert [landing.source_file for landing in list_landings(settings)] == [
        "events.jsonl",
        "dead letters",
    ]


def test_a_second_replay_says_so_and_sends_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    ids = [
        _refused_by_collector(settings),
        _refused_in_file(settings, tmp_path, {**PAGE, "scroll_rate": 7}),
    ]
    for id_ in ids:
        _replay(settings, id_, "currency=EUR", "scroll_rate=0.5")
    before = all_bytes(settings.raw)

    for id_ in ids:
        assert _replay(settings, id_, "currency=USD").status == "replayed_before"

    assert all_bytes(settings.raw) == before
    assert len(_logged(settings)) == 1
    assert find_letters(settings, is_open=True) == []


def test_a_crash_before_the_note_makes_the_same_event_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither letter has an id of its own; the second has to get the first's again."""
    ids = [
        _refused_by_collector(settings, event_id=None),
        _refused_in_file(
            settings,
            tmp_path,
            {**{k: v for k, v in PAGE.items() if k != "event_id"}, "scroll_rate": 7},
        ),
    ]
    for id_ in ids:
        first = _replay(settings, id_, "currency=EUR", "scroll_rate=0.5")
        # As if the process had died before it noted what it had sent.
        (settings.home / "deadletters" / "replays.parquet").unlink()
        again = _replay(settings, id_, "currency=EUR", "scroll_rate=0.5")
        assert again == first
        assert again.status == "replayed"
    events = [row for row in _rows(settings) if row["event_id"] != "e_2"]
    # The file's rows are known by their digest; the log's events meet in staging.
    assert len(events) == 3
    assert len({row["event_id"] for row in events}) == 2


def test_a_mask_that_is_left_is_refused_with_the_way_out(settings: Settings) -> None:
    id_ = _refused_by_collector(settings, properties={"note": "***"})

    outcome = _replay(settings, id_, "currency=EUR")

    assert outcome == Outcome(
        "d_1",
        "refused",
        None,
        "properties.note",
        "is masked: give its value with --fix 'properties.note=…' "
        "or leave it out with --drop 'properties.note'",
    )
    assert _replay(settings, id_, "currency=EUR", drops=("properties.note",)).event_id


@pytest.mark.parametrize(
    ("fix", "field"),
    [
        ("page_title=Dear anna@example.com", "page_title"),
        ("properties.to=anna%40example.com", "properties"),
        ("visitor_id=anna@example.com", "visitor_id"),
        ("visitor_id=541312140", "visitor_id"),
        ("user_id=541312140", "user_id"),
        ("revenue_cents=-1", "revenue_cents"),
        ("mood=good", "mood"),
        ("currency=euro", "currency"),
        ("occurred_at=2026-11-25T12:00:00Z", "occurred_at"),
    ],
)
def test_a_mended_letter_is_checked_as_at_the_door(
    settings: Settings, tmp_path: Path, fix: str, field: str
) -> None:
    ids = [
        _refused_by_collector(settings),
        _refused_in_file(
            settings,
            tmp_path,
            {**FIELDS, "currency": None, "received_at": "2026-11-24T12:00:00Z"},
        ),
    ]
    for id_ in ids:
        outcome = _replay(settings, id_, "currency=EUR", fix)
        assert (outcome.status, outcome.field) == ("refused", field)
    assert [row["event_id"] for row in _rows(settings)] == ["e_2"]
    assert len(find_letters(settings, is_open=True)) == 2
    assert b"anna" not in all_bytes(settings.home)


def test_a_dry_run_says_what_would_happen_and_sends_nothing(
    settings: Settings,
) -> None:
    _refused_by_collector(settings, "d_1")
    _refused_by_collector(settings, "d_2", visitor_id="***")
    letters = get_letters(settings, ["d_1", "d_2"])

    outcomes = replay(settings, letters, _changes("currency=EUR"), is_dry_run=True)

    assert [outcome.status for outcome in outcomes] == ["replayed", "refused"]
    assert _logged(settings) == []
    assert replays.replays_table(settings).num_rows == 0


def test_pseudonyms_of_a_refused_row_survive_and_nothing_else_does(
    settings: Settings, tmp_path: Path
) -> None:
    records = [
        {**PAGE, "user_id": "u_anna0001", "scroll_rate": 7},
        {**PAGE, "visitor_id": "541312140", "user_id": "u_anna0001"},
        {**PAGE, "user_id": "anna@example.com", "scroll_rate": 7},
    ]
    path = write_events(tmp_path / "e.jsonl", [PAGE, *records])
    land_file(settings, path, "nearline")
    letters = get_letters(settings, ["1-2", "1-3", "1-4"])
    assert [
        (letter.fields["visitor_id"], letter.fields["user_id"]) for letter in letters
    ] == [
        ("v_ben000001", "u_anna0001"),
        ("***", "u_anna0001"),
        ("v_ben000001", "***"),
    ]


REES46_LINES = (
    "event_time,event_type,product_id,price,user_id,user_session\n"
    "2019-10-01 00:00:00 UTC,view,1,2.50,541312140,s1\n"
    "2019-10-01 00:00:01 UTC,click,1,2.50,541312140,s1\n"
    "2019-10-01 00:00:02 UTC,view,1,2.50,,s1\n"
)


def test_a_shop_logs_visitor_is_the_same_after_a_replay(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(REES46_LINES)
    land_file(settings, path, "rees46")
    assert b"541312140" not in all_bytes(settings.raw)

    assert _replay(settings, "1-2", "event_type=view").status == "replayed"
    # The number that the file left out comes in by the door, and is hashed there.
    assert _replay(settings, "1-3", "user_id=541312140").status == "replayed"

    rows = list(_rows(settings))
    assert len({row["visitor_id"] for row in rows}) == 1
    assert [row["event_time"].second for row in rows] == [0, 1, 2]
    assert len({row["event_id"] for row in rows}) == 3
    assert b"541312140" not in all_bytes(settings.home)


def test_a_shop_log_row_without_visitor_stays_refused(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(REES46_LINES)
    land_file(settings, path, "rees46")
    outcome = _replay(settings, "1-3")
    assert (outcome.status, outcome.field) == ("refused", "user_id")
    outcome = _replay(settings, "1-3", "visitor_id=541312140")
    assert (outcome.status, outcome.field) == ("refused", "user_id")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_row_of_any_kind_of_file_comes_back_as_it_was(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    """CSV knows text alone, Parquet times without zone: both are kept as JSON."""
    full = {
        **PAGE,
        "event_id": "e_9",
        "price_cents": 1999,
        "items": [{"item_id": "a", "quantity": 2}],
        "properties": {"colour": "red", "sizes": [38, 40]},
    }
    right = write_events(tmp_path / f"right.{kind}", [full])
    wrong = write_events(
        tmp_path / f"wrong.{kind}", [full, {**full, "page_path": "no path"}]
    )
    land_file(settings, right, "nearline")
    land_file(settings, wrong, "nearline")

    assert _replay(settings, "2-2", drops=("page_path",)).status == "replayed"

    first, *_, last = _rows(settings)
    provenance = {"source_file": None, "source_row": None}
    assert {**last, **provenance} == {**first, **provenance}


def test_a_version_at_fault_is_kept_for_the_day_an_upgrader_knows_it(
    settings: Settings, tmp_path: Path
) -> None:
    id_ = _refused_in_file(settings, tmp_path, {**PAGE, "schema_version": "2.0"})
    (letter,) = get_letters(settings, [id_])
    assert letter.fields["schema_version"] == "2.0"
    outcome = _replay(settings, id_)
    assert (outcome.status, outcome.field) == ("refused", "schema_version")
    assert _replay(settings, id_, "schema_version=1.1").status == "replayed"


def test_letters_are_found_by_reason_source_and_state(
    settings: Settings, tmp_path: Path
) -> None:
    _refused_by_collector(settings, "d_1")
    _refused_by_collector(settings, "d_2")
    _refused_in_file(settings, tmp_path, {**PAGE, "source": "app", "scroll_rate": 7})
    _replay(settings, "d_2", "currency=EUR")

    def ids(**conditions: Any) -> set[str]:
        found = find_letters(settings, **conditions)
        return {letter.deadletter_id for letter in found}

    assert len(ids()) == 3
    assert ids(reason="CURRENCY") == {"d_1", "d_2"}
    assert ids(reason="currency", is_open=True) == {"d_1"}
    assert ids(source="app") == {"3-2"}
    assert len(ids(limit=2)) == 2
    with pytest.raises(InputError, match="1 of 2 ids"):
        get_letters(settings, ["d_1", "d_9"])


def test_the_same_letter_in_the_log_twice_is_one(settings: Settings) -> None:
    """A collector that got no answer from the log appends its batch again."""
    _refused_by_collector(settings, "d_1")
    _refused_by_collector(settings, "d_1")
    assert [letter.deadletter_id for letter in find_letters(settings)] == ["d_1"]
    outcomes = replay(settings, find_letters(settings), _changes("currency=EUR"))
    assert [outcome.status for outcome in outcomes] == ["replayed"]


def test_rows_refused_by_earlier_versions_are_found_too(settings: Settings) -> None:
    folder = settings.raw / "format=nearline" / "landing_id=00000004"
    folder.mkdir(parents=True)
    row = {
        "source_format": "nearline",
        "event_name": "page_view",
        "field": "scroll_rate",
        "reason": "Input should be less than or equal to 1; got an integer",
        "row_masked": json.dumps({**PAGE, "visitor_id": "***", "scroll_rate": "***"}),
        "source_file": "old.jsonl",
        "source_row": 17,
    }
    pq.write_table(pa.Table.from_pylist([row]), folder / "rejects.parquet")

    (letter,) = find_letters(settings)

    assert (letter.deadletter_id, letter.schema_version) == ("4-17", None)
    outcome = _replay(
        settings, "4-17", "visitor_id=v_ben000001", drops=("scroll_rate",)
    )
    assert outcome.status == "replayed"

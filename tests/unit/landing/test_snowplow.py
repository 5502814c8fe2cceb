"""Snowplow's exports at the door: every form of them, and what is wrong with some."""

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.deadletters.letters import find_letters
from nearline.deadletters.patching import Changes, parse_fix
from nearline.deadletters.replay import replay
from nearline.errors import InputError
from nearline.landing.formats import Rejection
from nearline.landing.landings import Landing, land_file
from nearline.landing.records import read_records
from nearline.landing.registry import find_format
from nearline.landing.snowplow_shape import flat_event
from nearline.settings import Settings
from tests.unit.landing.event_files import all_bytes, landed_rows

SDK_SAMPLE = Path(__file__).resolve().parents[4] / "shared" / "data" / "snowplow"
ADDRESS = "anna@mail.example"
SNOWPLOW = "com.snowplowanalytics.snowplow"
PAGE_ID = "aaaa0001-0000-4000-8000-000000000001"
PROVENANCE = ("source_file", "source_row")

VIEW = {
    "app_id": "shop",
    "platform": "web",
    "collector_tstamp": "2026-09-01 10:00:05.000",
    "dvce_created_tstamp": "2026-09-01 10:00:02.500",
    "dvce_sent_tstamp": "2026-09-01 10:00:03.000",
    "derived_tstamp": "2026-09-01 10:00:04.500",
    "event": "page_view",
    "event_name": "page_view",
    "event_vendor": SNOWPLOW,
    "event_id": "5f0c0000-0000-4000-8000-000000000001",
    "user_id": ADDRESS,
    "user_ipaddress": "198.51.100.77",
    "domain_userid": "7d1c2f5a-0000-4b6e-9f00-aaaaaaaaaaaa",
    "domain_sessionid": "11111111-2222-4333-8444-555555555555",
    "network_userid": "2f1d9f1e-75c0-4a9b-a0d5-4be6b2a0c111",
    "page_url": f"https://shop.example/p/1?for={ADDRESS}",
    "page_title": "A shoe",
}


def self_describing(kind: str, *entities: tuple[str, dict[str, Any]]) -> str:
    data = [{"schema": f"iglu:{schema}", "data": fields} for schema, fields in entities]
    return json.dumps(
        {
            "schema": f"iglu:{SNOWPLOW}/{kind}/jsonschema/1-0-0",
            "data": data[0] if kind == "unstruct_event" else data,
        }
    )


WEB_PAGE = (f"{SNOWPLOW}/web_page/jsonschema/1-0-0", {"id": PAGE_ID})
LINK_CLICK = (
    f"{SNOWPLOW}/link_click/jsonschema/1-0-1",
    {"targetUrl": f"https://b.example/x?to={ADDRESS}", "elementId": "buy"},
)
PRODUCT = {"id": "sku-1", "category": "shoes", "price": 59.99, "currency": "EUR"}
CLICK = {
    **VIEW,
    "event": "unstruct",
    "event_name": "link_click",
    "contexts": self_describing("contexts", WEB_PAGE),
    "derived_contexts": self_describing(
        "contexts", (f"{SNOWPLOW}.ecommerce/product/jsonschema/1-0-0", PRODUCT)
    ),
    "unstruct_event": self_describing("unstruct_event", LINK_CLICK),
}


def tsv_columns() -> tuple[str, ...]:
    text = find_format(Settings(), "snowplow").text
    assert text is not None
    return text.columns


def as_tsv(*events: dict[str, Any], header: bool = False) -> str:
    columns = tsv_columns()
    lines = ["\t".join(columns)] if header else []
    lines += ["\t".join(event.get(name, "") for name in columns) for event in events]
    return "".join(line + "\n" for line in lines)


def land(settings: Settings, path: Path, *events: dict[str, Any]) -> Landing:
    path.write_text(as_tsv(*events))
    return land_file(settings, path, "snowplow")


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in PROVENANCE}
        for row in landed_rows(settings)
    ]


def refused(settings: Settings, tmp_path: Path, **fields: str) -> dict[str, Any]:
    """What became of a page view with other fields, beside one that is right."""
    land(settings, tmp_path / "events.tsv", VIEW, {**VIEW, **fields})
    [reject] = landed_rows(settings, "rejects")
    return reject


@pytest.mark.skipif(not SDK_SAMPLE.exists(), reason="no sample of Snowplow's to read")
def test_columns_of_an_enriched_event_are_those_that_snowplows_own_sdk_names() -> None:
    layout = find_format(Settings(), "snowplow").text
    [record] = read_records(SDK_SAMPLE / "enriched_event.tsv", layout=layout)
    flat = flat_event(record.fields)
    assert not isinstance(flat, Rejection)
    expected = json.loads((SDK_SAMPLE / "enriched_event.expected.json").read_text())
    # Two columns as one, which the SDK adds.
    del expected["geo_location"]

    assert expected.keys() <= flat.keys()
    for name, meant in expected.items():
        if isinstance(meant, dict | list):
            assert flat[name] == meant, name
        elif isinstance(meant, bool):
            assert flat[name] == str(int(meant)), name
        elif name.endswith("_tstamp"):
            assert flat[name] == meant.replace("T", " ").removesuffix("Z"), name
        else:
            assert flat[name] == str(meant), name


def test_an_enriched_event_has_131_fields_with_or_without_a_header(
    settings: Settings, tmp_path: Path
) -> None:
    assert len(tsv_columns()) == 131
    (tmp_path / "plain.tsv").write_text(as_tsv(CLICK))
    (tmp_path / "named.tsv").write_text(as_tsv(CLICK, header=True))
    land_file(settings, tmp_path / "plain.tsv", "snowplow")
    land_file(settings, tmp_path / "named.tsv", "snowplow")
    plain, named = rows_of(settings)
    assert plain == named
    assert plain["web_page_id"] == PAGE_ID
    assert (plain["link_host"], plain["link_path"]) == ("b.example", "/x")


def test_atomic_events_of_every_warehouse_are_the_enriched_event(
    settings: Settings, tmp_path: Path
) -> None:
    flat = {
        name: value
        for name, value in CLICK.items()
        if name not in ("contexts", "derived_contexts", "unstruct_event")
    }
    product = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
    page = "contexts_com_snowplowanalytics_snowplow_web_page_1"
    click = "unstruct_event_com_snowplowanalytics_snowplow_link_click_1"
    moments = {
        name: datetime.fromisoformat(f"{value}+00:00")
        for name, value in flat.items()
        if name.endswith("_tstamp")
    }
    snake = {"target_url": LINK_CLICK[1]["targetUrl"], "element_id": "buy"}
    land(settings, tmp_path / "enriched.tsv", CLICK)

    with (tmp_path / "snowflake.csv").open("w", newline="") as file:
        row = {
            **flat,
            page: json.dumps([{"id": PAGE_ID}]),
            product: json.dumps([PRODUCT]),
            click: json.dumps(LINK_CLICK[1]),
        }
        writer = csv.writer(file)
        writer.writerows([[name.upper() for name in row], row.values()])
    lake = {
        **flat,
        **moments,
        page: [{"id": PAGE_ID}],
        product: [PRODUCT],
        click: snake,
    }
    pq.write_table(pa.Table.from_pylist([lake]), tmp_path / "lake.parquet")
    bigquery = {
        **flat,
        **{name: f"{value} UTC" for name, value in flat.items() if name in moments},
        f"{page}_0_0": [{"id": PAGE_ID}],
        f"{product}_0_0": [PRODUCT],
        f"{click}_0_0": None,
        f"{click}_0_1": snake,
    }
    (tmp_path / "bigquery.jsonl").write_text(json.dumps(bigquery) + "\n")
    for name in ("snowflake.csv", "lake.parquet", "bigquery.jsonl"):
        landing = land_file(settings, tmp_path / name, "snowplow")
        assert landing.rejected_count == 0, name

    enriched, *others = rows_of(settings)
    assert len(others) == 3
    for other in others:
        assert other == enriched


def test_an_event_without_cookie_is_of_whoever_is_left(
    settings: Settings, tmp_path: Path
) -> None:
    """A session where the tracker was told to be anonymous; else the collector's cookie,
    else the account of a server."""
    nobody = "00000000-0000-0000-0000-000000000000"
    anonymous = {**VIEW, "domain_userid": "", "network_userid": nobody}
    without_session = {**VIEW, "domain_userid": nobody, "domain_sessionid": ""}
    server = {**without_session, "network_userid": ""}
    land(settings, tmp_path / "e.tsv", VIEW, anonymous, without_session, server)
    visitor = [row["visitor_id"] for row in rows_of(settings)]
    assert len(set(visitor)) == 4
    land(
        settings,
        tmp_path / "again.tsv",
        {**anonymous, "user_id": ""},
        {**without_session, "user_id": "", "app_id": "other"},
        {**server, "page_title": ""},
    )
    assert [row["visitor_id"] for row in rows_of(settings)[4:]] == visitor[1:]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"event_id": ""}, "event_id", "is missing"),
        ({"collector_tstamp": ""}, "collector_tstamp", "is missing"),
        ({"event": "pageview"}, "event", "must be one of page_view, page_ping"),
        ({"event": ""}, "event", "is missing"),
        ({"derived_tstamp": "1970-01-01 00:00:00"}, "derived_tstamp", "years 2000"),
        ({"collector_tstamp": "1788256805"}, "collector_tstamp", "must be a time"),
        ({"collector_tstamp": "01/09/2026"}, "collector_tstamp", "must be a time"),
        ({"tr_total": "12,50"}, "tr_total", "must be an amount"),
        ({"tr_total": "-1"}, "tr_total", "must be an amount"),
        ({"ti_quantity": "0"}, "ti_quantity", "whole number from 1"),
        ({"contexts": '{"schema": "iglu:'}, "contexts", "self-describing JSON"),
        ({"contexts": '{"data": [{"data": {}}]}'}, "contexts", "self-describing"),
        ({"derived_contexts": "[]"}, "derived_contexts", "self-describing JSON"),
        ({"unstruct_event": "link"}, "unstruct_event", "self-describing JSON"),
    ],
)
def test_a_row_that_is_wrong_is_refused_by_the_name_of_its_field(
    settings: Settings, tmp_path: Path, fields: dict[str, str], field: str, says: str
) -> None:
    reject = refused(settings, tmp_path, **fields)
    assert reject["field"] == field
    assert says in reject["reason"]
    assert reject["source_row"] == 2
    self_made = all_bytes(settings.raw)
    for trace in (ADDRESS, "198.51.100.77", VIEW["domain_userid"]):
        assert trace.encode() not in self_made


def test_an_event_of_nobody_is_refused(settings: Settings, tmp_path: Path) -> None:
    without = dict.fromkeys(
        ("domain_userid", "domain_sessionid", "network_userid", "user_id"), ""
    )
    reject = refused(settings, tmp_path, **without)
    assert (reject["field"], reject["reason"]) == (
        "domain_userid",
        "is missing; every row needs it",
    )


def test_a_client_clock_out_of_bounds_costs_the_clock_and_not_the_event(
    settings: Settings, tmp_path: Path
) -> None:
    wrong = {**VIEW, "dvce_created_tstamp": "1970-01-01 00:00:07.000"}
    land(settings, tmp_path / "events.tsv", wrong)
    [row] = rows_of(settings)
    assert row["dvce_created_tstamp"] is None
    assert row["derived_tstamp"] == datetime(2026, 9, 1, 10, 0, 4, 500_000)


def test_moments_of_all_zones_are_one(settings: Settings, tmp_path: Path) -> None:
    written = ("2026-09-01 10:00:05", "2026-09-01T12:00:05+02:00",
               "2026-09-01T04:30:05-0530", "2026-09-01 10:00:05.000 UTC",
               "2026-09-01T10:00:05Z")  # fmt: skip
    events = [{**VIEW, "collector_tstamp": moment} for moment in written]
    land(settings, tmp_path / "events.tsv", *events)
    assert {row["collector_tstamp"] for row in rows_of(settings)} == {
        datetime(2026, 9, 1, 10, 0, 5)
    }


def test_a_row_of_too_few_fields_is_refused_and_its_neighbours_land(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "events.tsv"
    short = as_tsv(VIEW).split("\t", 1)[1]
    path.write_text(as_tsv(VIEW) + short + as_tsv(VIEW))
    landing = land_file(settings, path, "snowplow")
    [reject] = landed_rows(settings, "rejects")
    assert reject["reason"] == "130 values under 131 columns"
    assert (landing.accepted_count, reject["source_row"]) == (2, 2)


def test_shifted_columns_are_seen_though_their_number_is_right(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "events.tsv"
    fields = as_tsv(VIEW).rstrip("\n").split("\t")
    path.write_text(as_tsv(VIEW) + "\t".join(["", *fields[:-1]]) + "\n")
    land_file(settings, path, "snowplow")
    [reject] = landed_rows(settings, "rejects")
    assert reject["field"] == "event"
    assert ADDRESS.encode() not in all_bytes(settings.raw)


def test_a_file_that_ends_within_a_row_keeps_the_rows_before(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "events.tsv"
    path.write_text(as_tsv(VIEW) + as_tsv(CLICK)[:300])
    land_file(settings, path, "snowplow")
    [reject] = landed_rows(settings, "rejects")
    assert reject["reason"].endswith("values under 131 columns")
    assert len(landed_rows(settings)) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("cut.tsv.gz", gzip.compress(as_tsv(*[CLICK] * 50).encode(), mtime=0)[:-40],
         "the gzip stream is cut or damaged"),
        ("latin.tsv",
         (as_tsv(VIEW) + as_tsv({**VIEW, "page_title": "Schühe"})).encode("latin-1"),
         "line 2: is not UTF-8; convert it"),
        ("empty.tsv", b"", "is empty"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_stops_and_names_the_line(
    settings: Settings, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as problem:
        land_file(settings, path, "snowplow")
    assert ADDRESS not in str(problem.value)
    assert landed_rows(settings) == []


def test_a_file_of_mostly_bad_rows_lands_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", max_rejected_share=0.5)
    bad = {**VIEW, "derived_tstamp": "56000-01-01 00:00:00"}
    with pytest.raises(
        InputError, match=r"67% .*row 2, derived_tstamp: must be a time"
    ):
        land(settings, tmp_path / "events.tsv", VIEW, bad, bad)
    assert landed_rows(settings) == []


def test_a_dead_letter_is_mended_and_lands_as_the_event_it_was(
    settings: Settings, tmp_path: Path
) -> None:
    bad = {**CLICK, "tr_total": "12,50"}
    land(settings, tmp_path / "events.tsv", {**CLICK, "tr_total": "12.50"}, bad)
    [reject] = landed_rows(settings, "rejects")
    kept = json.loads(reject["row_masked"])
    assert kept["tr_total"] == "***"
    assert not {"user_ipaddress", "domain_userid", "network_userid"} & kept.keys()

    outcomes = replay(
        settings,
        find_letters(settings),
        Changes(fixes=(parse_fix("tr_total=12.50"),)),
        clock=lambda: datetime(2026, 11, 24, tzinfo=UTC),
    )
    assert [outcome.status for outcome in outcomes] == ["replayed"]
    right, *_ = rows_of(settings)
    [mended] = [
        {name: value for name, value in row.items() if name not in PROVENANCE}
        for file in settings.raw.glob("format=snowplow/landing_id=*/events*.parquet")
        for row in pq.ParquetFile(file).read().to_pylist()
        if row["source_file"].startswith("replay:")
    ]
    assert mended == right


def test_a_dead_letter_with_unreadable_entities_can_go_without_them(
    settings: Settings, tmp_path: Path
) -> None:
    reject = refused(settings, tmp_path, contexts=f'{{"to": "{ADDRESS}"')
    assert json.loads(reject["row_masked"])["contexts"] == "***"
    outcomes = replay(settings, find_letters(settings), Changes(drops=(("contexts",),)))
    assert [outcome.status for outcome in outcomes] == ["replayed"]


def test_what_people_type_into_forms_is_not_kept(
    settings: Settings, tmp_path: Path
) -> None:
    form = (
        f"{SNOWPLOW}/submit_form/jsonschema/1-0-0",
        {"formId": "f", "elements": [{"name": "surname", "value": "Petersen"}]},
    )
    transformed = (
        f"{SNOWPLOW}/pii_transformation/jsonschema/1-0-0",
        {"pii": {"pojo": [{"originalValue": "Petersen"}]}, "strategy": {"x": 1}},
    )
    events = [
        {**CLICK, "unstruct_event": self_describing("unstruct_event", event)}
        for event in (form, transformed)
    ]
    land(settings, tmp_path / "events.tsv", *events, {**events[0], "tr_total": "?"})
    assert len(landed_rows(settings, "rejects")) == 1
    assert b"petersen" not in all_bytes(settings.raw).lower()


def test_of_a_product_what_is_declared_is_kept_and_nothing_else(
    settings: Settings, tmp_path: Path
) -> None:
    product = {**PRODUCT, "name": "Shoe of Anna Petersen", "size": "38"}
    entities = self_describing(
        "contexts", (f"{SNOWPLOW}.ecommerce/product/jsonschema/1-0-0", product)
    )
    click = {**CLICK, "derived_contexts": entities}
    land(settings, tmp_path / "events.tsv", click, {**click, "tr_total": "?"})
    [row] = landed_rows(settings)
    assert json.loads(row["products"]) == [PRODUCT]
    [reject] = landed_rows(settings, "rejects")
    assert [PRODUCT] in json.loads(reject["row_masked"]).values()
    assert b"Petersen" not in all_bytes(settings.raw)


def test_a_phone_number_cut_into_search_words_is_kept_nowhere(
    settings: Settings, tmp_path: Path
) -> None:
    search = (
        f"{SNOWPLOW}/site_search/jsonschema/1-0-0",
        {"terms": ["+49", "170", "5551234"]},
    )
    event = {**CLICK, "unstruct_event": self_describing("unstruct_event", search)}
    land(settings, tmp_path / "events.tsv", event, {**event, "tr_total": "?"})
    assert [row["search_terms"] for row in landed_rows(settings)] == ["***"]
    assert b"5551234" not in all_bytes(settings.raw)


@pytest.mark.parametrize("name", ["events.tsv", "events.csv"])
def test_entities_of_any_size_are_read(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    large = ("example.shop/large/jsonschema/1-0-0", {"text": "a" * 300_000})
    event = {**CLICK, "contexts": self_describing("contexts", WEB_PAGE, large)}
    path = tmp_path / name
    with path.open("w", newline="") as file:
        if path.suffix == ".tsv":
            file.write(as_tsv(event))
        else:
            csv.writer(file).writerows([list(event), list(event.values())])
    land_file(settings, path, "snowplow")
    assert [row["web_page_id"] for row in landed_rows(settings)] == [PAGE_ID]

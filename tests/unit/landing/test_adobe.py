"""Adobe's data feeds at the door: how they are delivered and escaped, and what is wrong
with some of their hits.

Numbers of events and the examples of products are those of Adobe's own pages ("products",
"Special characters in data feeds", "Data column reference").
"""

import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.collector.segment import hashed_id
from nearline.deadletters.letters import find_letters
from nearline.deadletters.patching import Changes, parse_fix, parse_path
from nearline.deadletters.replay import replay
from nearline.errors import InputError
from nearline.landing.adobe_shape import flat_hit
from nearline.landing.formats import Rejection
from nearline.landing.landings import Landing, land_file
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import all_bytes, landed_rows, run_command

ADDRESS = "anna@mail.example"
HIGH, LOW = "12977600342168895489", "4611687123456789012"
AT = 1788256800  # 2026-09-01 10:00:00 UTC

VIEW = {
    "hitid_high": "3177201234567890101",
    "hitid_low": "6917529030000000101",
    "post_visid_high": HIGH,
    "post_visid_low": LOW,
    "post_cust_visid": "",
    "hit_time_gmt": str(AT),
    "post_cust_hit_time_gmt": str(AT),
    "date_time": "2026-09-01 12:00:00",
    "exclude_hit": "0",
    "hit_source": "1",
    "customer_perspective": "0",
    "visit_num": "1",
    "visit_start_time_gmt": str(AT),
    "page_event": "0",
    "post_page_event": "0",
    "page_url": f"https://shop.example/p/1?for={ADDRESS}",
    "post_page_url": f"https://shop.example/p/1?for={ADDRESS}",
    "post_pagename": "A shoe",
    "post_page_event_var2": "",
    "post_event_list": "",
    "event_list": "",
    "post_product_list": "",
    "post_currency": "",
    "post_campaign": "",
    "campaign": "",
    "post_evar1": ADDRESS,
    "ip": "198.51.100.77",
    "user_agent": "",
}
PLANTED = (ADDRESS, "198.51.100.77", HIGH, LOW)


def escaped(value: str) -> str:
    """A value as Adobe writes it: a backslash before backslash, tab and line end."""
    return "".join(f"\\{one}" if one in "\\\t\n" else one for one in value)


def as_rows(*hits: Mapping[str, str]) -> str:
    rows = ["\t".join(escaped(hit[name]) for name in VIEW) for hit in hits]
    return "".join(f"{row}\n" for row in rows)


def write_feed(folder: Path, content: str | bytes, name: str = "hit_data.tsv") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "column_headers.tsv").write_text("\t".join(VIEW) + "\n")
    path = folder / name
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def land(settings: Settings, folder: Path, *hits: Mapping[str, str]) -> Landing:
    return land_file(settings, write_feed(folder, as_rows(*hits)), "adobe")


def landed(settings: Settings, folder: Path, **fields: str) -> dict[str, Any]:
    """The raw row of a hit with other fields."""
    land(settings, folder, {**VIEW, **fields})
    [row] = landed_rows(settings)
    return row


def flat(**fields: Any) -> dict[str, Any]:
    found = flat_hit({**{k: v or None for k, v in VIEW.items()}, **fields})
    assert not isinstance(found, Rejection), found
    return found


def fault(**fields: Any) -> Rejection:
    found = flat_hit({**{k: v or None for k, v in VIEW.items()}, **fields})
    assert isinstance(found, Rejection)
    return found


def test_a_folder_of_hours_lands_as_adobe_delivers_it(
    settings: Settings, tmp_path: Path
) -> None:
    """Hours in one folder, with the lookups that lie beside them and the manifest."""
    feed = tmp_path / "feed"
    hours = ("20260901-080000", "20260901-090000", "20260901-100000")
    for number, hour in enumerate(hours):
        hits = [
            {**VIEW, "hitid_low": f"{number}{hit}", "hit_time_gmt": str(AT + hit)}
            for hit in range(3)
        ]
        excluded = {**VIEW, "exclude_hit": "4"}
        write_feed(feed, as_rows(*hits, excluded), f"hit_data_{hour}.tsv.gz")
    write_feed(feed, as_rows(VIEW), "01-shop_20260901-110000.tsv.gz")
    (feed / "event.tsv").write_text("1\tPurchase\n200\tSigned up\n")
    (feed / "browser_type.tsv").write_text("1\tMicrosoft\n")
    (feed / "languages.tsv").write_text("1\tDutch\n")
    (feed / "shop_2026-09-01.txt").write_text("Datafeed-Manifest-Version: 1.0\n")
    (feed / "shop_2026-09-01-lookup_data.tar.gz").write_bytes(b"\x1f\x8b")

    done = run_command(settings, "ingest", feed, "--format", "adobe")
    assert done.stdout.splitlines() == [
        "4 of 4 files landed: 10 rows accepted, 0 rejected, 3 left out",
        *(
            f"  hit_data_{hour}.tsv.gz: 1 left out: exclude_hit is 4: by IP address"
            for hour in hours
        ),
    ]
    assert len({row["event_id"] for row in landed_rows(settings)}) == 10
    again = run_command(settings, "ingest", feed, "--format", "adobe")
    assert again.stdout == (
        "0 of 4 files landed: 0 rows accepted, 0 rejected; 4 landed before\n"
    )
    kept = all_bytes(settings.home)
    for identifier in PLANTED:
        assert identifier.encode() not in kept


def test_a_feed_without_its_column_headers_is_told_so(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_feed(tmp_path / "feed", as_rows(VIEW))
    (tmp_path / "feed" / "column_headers.tsv").unlink()
    with pytest.raises(InputError, match=r"column_headers\.tsv, which is not beside"):
        land_file(settings, path, "adobe")


def test_archives_are_not_read_and_the_command_says_what_to_do(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "shop_2026-09-01.tar.gz").write_bytes(b"\x1f\x8b")
    done = run_command(settings, "ingest", tmp_path, "--format", "adobe")
    assert done.returncode == 2
    assert "archives (.tar.gz, .zip) must be unpacked first" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "tab\there",
        "two\nlines",
        "back\\slash",
        "ends in a backslash\\",
        "ends in a line\n",
        "\\\t\\\n\\",
        "a carriage\rreturn",
        'a "quote" stays',
    ],
)
def test_an_escaped_value_is_what_was_sent(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    other = {**VIEW, "hitid_low": "2"}
    land(settings, tmp_path / "feed", {**VIEW, "post_pagename": name}, other)
    odd, plain = landed_rows(settings)
    assert odd["pagename"] == name
    assert (plain["pagename"], plain["source_row"]) == ("A shoe", 2)


def test_escapes_that_are_written_out_are_the_characters_they_name(
    settings: Settings, tmp_path: Path
) -> None:
    rows = as_rows({**VIEW, "post_pagename": "PAGE"}).replace("PAGE", r"a\tb\nc\\n")
    land_file(settings, write_feed(tmp_path / "feed", rows), "adobe")
    assert [row["pagename"] for row in landed_rows(settings)] == ["a\tb\nc\\n"]


def test_a_row_that_never_ends_stops_the_file(
    settings: Settings, tmp_path: Path
) -> None:
    endless = as_rows(VIEW) + ("x" * 1023 + "\\\n") * 17_000
    path = write_feed(tmp_path / "feed", endless)
    with pytest.raises(InputError, match=r"hit_data\.tsv, line 2: is not readable"):
        land_file(settings, path, "adobe")


def test_a_feed_may_be_in_either_encoding(settings: Settings, tmp_path: Path) -> None:
    shoe = {**VIEW, "post_pagename": "Größe 漢"}
    rows = as_rows({**VIEW, "post_pagename": "Größe"}).encode("latin-1")
    path = write_feed(tmp_path / "feed", rows + as_rows(shoe).encode())
    land_file(settings, path, "adobe")
    assert [row["pagename"] for row in landed_rows(settings)] == ["Größe", "Größe 漢"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda rows: rows.encode("utf-16"),
            "row 1, exclude_hit: must be a whole number",
        ),
        (lambda rows: b"\t" + rows.encode(), r"row 1, \(row\): 29 values under 28"),
        (lambda rows: rows.replace("\t", ";").encode(), "1 values under 28 columns"),
        (
            lambda rows: "\t".join(rows.removesuffix("\n").split("\t")[::-1]).encode(),
            "row 1, customer_perspective: must be a whole number",
        ),
    ],
    ids=["another encoding", "shifted", "another delimiter", "other columns"],
)
def test_a_file_that_is_no_such_feed_is_refused_whole(
    settings: Settings,
    tmp_path: Path,
    spoil: Callable[[str], bytes],
    says: str,
) -> None:
    path = write_feed(tmp_path / "feed", spoil(as_rows(VIEW)))
    with pytest.raises(InputError, match=f"no row fits format 'adobe' .*{says}"):
        land_file(settings, path, "adobe")
    assert landed_rows(settings) == []


def test_a_cut_file_is_refused_whole(settings: Settings, tmp_path: Path) -> None:
    hits = [{**VIEW, "hitid_low": str(number)} for number in range(5_000)]
    path = write_feed(tmp_path / "feed", as_rows(*hits), "hit_data.tsv.gz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"gzip stream is cut or damaged"):
        land_file(settings, path, "adobe")
    assert landed_rows(settings) == []


def test_a_plain_file_that_was_cut_loses_its_last_row_alone(
    settings: Settings, tmp_path: Path
) -> None:
    rows = as_rows(VIEW, {**VIEW, "hitid_low": "2"})
    path = write_feed(tmp_path / "feed", rows[:-60])
    land_file(settings, path, "adobe")
    [reject] = landed_rows(settings, "rejects")
    assert (reject["source_row"], reject["field"]) == (2, "(row)")


def test_visitors_that_differ_in_their_last_digit_are_two(
    settings: Settings, tmp_path: Path
) -> None:
    """Beyond 2^53 a number of the usual kind would hold both for one."""
    other = {**VIEW, "post_visid_low": "4611687123456789013", "hitid_low": "2"}
    land(settings, tmp_path / "feed", VIEW, other)
    visitor = load_pseudonymizer(settings).visitor
    assert [row["visitor_id"] for row in landed_rows(settings)] == [
        visitor("adobe", f"{HIGH}_4611687123456789012"),
        visitor("adobe", f"{HIGH}_4611687123456789013"),
    ]
    assert landed_rows(settings)[0]["event_id"] == (
        "3177201234567890101_6917529030000000101"
    )


@pytest.mark.parametrize(
    "rounded",
    ["1.29776003421689E+19", "12977600342168895489.0", "18446744073709551616", "-1"],
)
def test_a_visitor_that_a_spreadsheet_rounded_is_refused(rounded: str) -> None:
    found = fault(post_visid_high=rounded)
    assert found.field == "post_visid_high"
    assert found.reason.startswith("must be a whole number of 64 bits, not rounded by")
    assert rounded not in found.reason


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"post_visid_low": ""}, "visid_high:visid_low", "is missing"),
        (
            {"post_visid_high": "0", "post_visid_low": "0"},
            "visid_high:visid_low",
            "is missing",
        ),
        ({"post_cust_hit_time_gmt": "1", "hit_time_gmt": "1"}, None, "years 2000"),
        ({"post_cust_hit_time_gmt": f"{AT}000"}, None, "must be seconds since 1970"),
        ({"post_cust_hit_time_gmt": "0", "hit_time_gmt": ""}, None, "is missing"),
        (
            {"post_cust_hit_time_gmt": "2026-09-01 12:00:00"},
            None,
            "must be seconds since 1970",
        ),
        ({"hit_time_gmt": f"{AT}000"}, "hit_time_gmt", "must be seconds since 1970"),
        ({"page_event": "", "post_page_event": ""}, "page_event", "is missing"),
        ({"post_page_event": "click"}, "post_page_event", "a whole number"),
        ({"exclude_hit": "no"}, "exclude_hit", "a whole number"),
        ({"hit_source": "web"}, "hit_source", "a whole number"),
        ({"hitid_high": "a1"}, "hitid_high", "of 64 bits"),
        ({"post_event_list": "purchase"}, "post_event_list", "numbers of events"),
        ({"post_event_list": "200=many"}, "post_event_list", "numbers of events"),
        ({"post_event_list": "200=1e99"}, "post_event_list", "numbers of events"),
        (
            {"post_product_list": ";a;1;5,;b;two;5"},
            "post_product_list",
            "line 2, quantity: must be a whole number from 0 to 10,000",
        ),
        (
            {"post_product_list": ";a;1;EUR 5"},
            "post_product_list",
            "line 1, price: must be an amount",
        ),
        ({"post_currency": "EURO"}, "currency", "three letters such as EUR"),
    ],
)
def test_a_hit_that_is_wrong_is_refused_by_the_name_of_its_field(
    settings: Settings,
    tmp_path: Path,
    fields: dict[str, str],
    field: str | None,
    says: str,
) -> None:
    land(settings, tmp_path / "feed", VIEW, {**VIEW, **fields})
    [reject] = landed_rows(settings, "rejects")
    assert reject["field"] == (field or "cust_hit_time_gmt")
    assert says in reject["reason"]
    kept = all_bytes(settings.raw)
    for identifier in PLANTED:
        assert identifier.encode() not in kept


def test_hits_of_which_too_many_are_wrong_stop_the_file(
    settings: Settings, tmp_path: Path
) -> None:
    strict = settings.model_copy(update={"max_rejected_share": 0.5})
    bad = {**VIEW, "post_event_list": "purchase"}
    with pytest.raises(InputError, match="67% of its rows do not fit"):
        land(strict, tmp_path / "feed", VIEW, bad, bad)
    assert landed_rows(settings) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"exclude_hit": "4"}, "exclude_hit is 4: by IP address"),
        ({"exclude_hit": "12"}, "exclude_hit is 12: by Adobe"),
        ({"hit_source": "5"}, "hit_source is 5: uploaded afterwards, and nobody's visit"),
        ({"hit_source": "7"}, "hit_source is 7: uploaded afterwards, and nobody's visit"),
        ({"hit_source": "9"}, "hit_source is 9: uploaded afterwards, and nobody's visit"),
        (
            {"customer_perspective": "1"},
            "customer_perspective is not 0: sent by an app in the background",
        ),
    ],
)  # fmt: skip
def test_a_hit_outside_adobes_reports_is_counted_by_reason_and_left_out(
    settings: Settings, tmp_path: Path, fields: dict[str, str], says: str
) -> None:
    """However many they are: nothing is wrong with the file."""
    strict = settings.model_copy(update={"max_rejected_share": 0.1})
    other = {**VIEW, **fields, "post_visid_high": "0", "post_visid_low": "0"}
    landing = land(strict, tmp_path / "feed", VIEW, other, other)
    assert landing.left_out == {says: 2}
    assert (landing.accepted_count, landing.rejected_count) == (1, 0)
    assert landed_rows(settings, "rejects") == []


@pytest.mark.parametrize("source", ["1", "2", "3", "6", "10", ""])
def test_a_hit_of_a_visit_lands_whatever_sent_it(
    settings: Settings, tmp_path: Path, source: str
) -> None:
    assert landed(settings, tmp_path / "feed", hit_source=source)["visitor_id"]


def test_an_hour_in_which_all_hits_are_left_out_lands(
    settings: Settings, tmp_path: Path
) -> None:
    landing = land(settings, tmp_path / "feed", {**VIEW, "exclude_hit": "3"})
    assert landing.left_out == {"exclude_hit is 3: by user agent": 1}
    assert landed_rows(settings) == []
    assert not land(settings, tmp_path / "feed", {**VIEW, "exclude_hit": "3"}).is_new


@pytest.mark.parametrize(
    ("listed", "events"),
    [
        ("1,2", {"purchase": 1, "prodView": 1}),
        (
            "10,11,12,13,14,20",
            {
                "scOpen": 1,
                "scCheckout": 1,
                "scAdd": 1,
                "scRemove": 1,
                "scView": 1,
                "campaign": 1,
            },
        ),
        ("100,174,199,10000,10149,500", None),
        ("200,299", {"event1": 1, "event100": 1}),
        ("20100,20999", {"event101": 1, "event1000": 1}),
        ("200=1.5,201=10,202", {"event1": 1.5, "event2": 10, "event3": 1}),
        ("200:ABC^,1,201=2:XY", {"event1": 1, "event2": 2}),
        ("200,200=4", {"event1": 5}),
        ("12,,2,", {"scAdd": 1, "prodView": 1}),
        ("99999", None),
    ],
)
def test_events_are_known_by_adobes_names(
    listed: str, events: dict[str, float] | None
) -> None:
    assert flat(post_event_list=listed).get("events") == events


SHOE = {"product_id": "shoe"}


@pytest.mark.parametrize(
    ("listed", "lines", "total"),
    [
        ("Boots;shoe", [{**SHOE, "category": "Boots"}], None),
        (";shoe", [SHOE], None),
        ("Boots;shoe,;hat", [{**SHOE, "category": "Boots"}, {"product_id": "hat"}], None),
        (";shoe;1;6.99", [{**SHOE, "quantity": 1, "total_cents": 699}], 699),
        (
            ";shoe;9;26.91,Hats;hat;4;9.96",
            [
                {**SHOE, "quantity": 9, "total_cents": 2691},
                {"product_id": "hat", "category": "Hats", "quantity": 4,
                 "total_cents": 996},
            ],
            3687,
        ),
        (";shoe;1;4.20;event1=2.3|event2=5", [{**SHOE, "quantity": 1, "total_cents": 420}],
         420),
        (";shoe;;;;eVar1=Red^, not blue", [SHOE], None),
        (
            ";a^,b,;a^;b,;a^^b;;;;eVar1=M^=e^;r",
            [{"product_id": hashed_id(name)} for name in ("a,b", "a;b", "a^b")],
            None,
        ),
        # A discount as a line: it counts in the order.
        (
            ";shoe;1;50,;discount;1;-5",
            [
                {**SHOE, "quantity": 1, "total_cents": 5000},
                {"product_id": "discount", "quantity": 1, "total_cents": -500},
            ],
            4500,
        ),
        (";;1;5,;shoe;1;5", [{**SHOE, "quantity": 1, "total_cents": 500}], 1000),
        (",", None, None),
        (f";{ADDRESS};1", [{"product_id": hashed_id(ADDRESS), "quantity": 1}], None),
        (f"{ADDRESS};shoe", [SHOE], None),
    ],
)  # fmt: skip
def test_products_are_the_lines_of_adobes_products_variable(
    listed: str, lines: list[dict[str, Any]] | None, total: int | None
) -> None:
    found = flat(post_product_list=listed)
    assert found.get("products") == lines
    assert found.get("products_total_cents") == total


def test_what_processing_took_out_does_not_come_back_from_the_raw_column() -> None:
    assert "events" not in flat(post_event_list=None, event_list="1")
    without = {name: value for name, value in VIEW.items() if name != "post_event_list"}
    found = flat_hit({**without, "event_list": "1"})
    assert isinstance(found, dict)
    assert found["events"] == {"purchase": 1}


def test_a_link_has_the_page_on_which_it_was_clicked() -> None:
    found = flat(post_page_event="100", page_event="10", post_page_url=None)
    assert found["page_url"] == VIEW["page_url"]
    assert found["page_event"] == 10


def test_an_address_that_processing_cut_is_taken_whole() -> None:
    raw = "https://shop.example/" + "a" * 300 + "?utm_source=news"
    assert flat(page_url=raw, post_page_url=raw[:255])["page_url"] == raw
    other = "https://shop.example/cleaned"
    assert flat(page_url=raw, post_page_url=other)["page_url"] == other


@pytest.mark.parametrize(
    ("fields", "campaign"),
    [
        ({"post_campaign": "old", "post_event_list": "2"}, None),
        ({"post_campaign": "old", "campaign": "raw"}, "raw"),
        ({"post_campaign": "new", "post_event_list": "20", "campaign": "raw"}, "new"),
    ],
)
def test_a_tracking_code_counts_with_the_hit_that_set_it(
    fields: dict[str, str], campaign: str | None
) -> None:
    assert flat(**fields).get("campaign") == campaign


def test_the_address_of_a_page_is_not_its_name() -> None:
    for name in ("https://shop.example/p/1", "shop.example/p/1", "Shop.Example"):
        assert "pagename" not in flat(post_pagename=name)
    for name in ("shop", "shop.example.de", "p/1"):
        assert flat(post_pagename=name)["pagename"] == name


CONVERTED = {
    "product_list": ";a;1;11",
    "currency": "USD",
    "curr_rate": "0.909090909091",
    "post_product_list": ";a;1;10",
}


@pytest.mark.parametrize(
    ("fields", "cents", "currency"),
    [
        ({**CONVERTED, "post_currency": "EUR"}, 1000, "EUR"),
        (CONVERTED, 1100, "USD"),
        ({**CONVERTED, "curr_rate": "1.000000000000"}, 1000, "USD"),
        ({k: v for k, v in CONVERTED.items() if k != "product_list"}, 1000, None),
        ({"product_list": ";a;1;11", "currency": "USD"}, 1100, "USD"),
    ],
)
def test_an_amount_is_in_the_currency_that_it_was_left_in(
    fields: dict[str, str], cents: int, currency: str | None
) -> None:
    hit = {
        k: v for k, v in VIEW.items() if k not in ("post_currency", "post_product_list")
    }
    found = flat_hit({**hit, **fields})
    assert isinstance(found, dict)
    assert (found["products_total_cents"], found.get("currency")) == (cents, currency)


def test_the_clock_of_the_report_suite_does_not_count(
    settings: Settings, tmp_path: Path
) -> None:
    """Twice a year it shows an hour twice, or not at all."""
    folder = tmp_path / "feed"
    row = landed(settings, folder, date_time="2026-10-25 02:30:00")
    assert row["hit_at"] == row["collected_at"] == datetime(2026, 9, 1, 10)


def test_a_hit_that_waited_on_the_device_happened_before_it_was_received(
    settings: Settings, tmp_path: Path
) -> None:
    row = landed(settings, tmp_path / "feed", post_cust_hit_time_gmt=str(AT - 3600))
    assert row["hit_at"] == datetime(2026, 9, 1, 9)
    assert row["collected_at"] == datetime(2026, 9, 1, 10)
    zero = {"post_cust_hit_time_gmt": "0"}
    assert "cust_hit_time_gmt" not in flat(**zero)


def test_the_shops_own_visitor_id_is_an_account_and_stands_in_no_text(
    settings: Settings, tmp_path: Path
) -> None:
    row = landed(
        settings,
        tmp_path / "feed",
        post_cust_visid="anna-4711",
        post_pagename="Orders of anna-4711",
        post_page_url="https://shop.example/u/anna-4711/orders",
        page_url="https://shop.example/u/anna-4711/orders",
    )
    assert row["user_id"] == load_pseudonymizer(settings).user("anna-4711")
    assert (row["pagename"], row["page_path"]) == ("***", "/u/redacted/orders")
    assert b"anna-4711" not in all_bytes(settings.raw)


@pytest.mark.parametrize("placeholder", ["0", "NULL", "undefined"])
def test_a_placeholder_is_nobodys_account(
    settings: Settings, tmp_path: Path, placeholder: str
) -> None:
    row = landed(settings, tmp_path / "feed", post_cust_visid=placeholder)
    assert row["user_id"] is None


def test_a_hit_without_number_is_known_by_its_content(
    settings: Settings, tmp_path: Path
) -> None:
    nameless = {**VIEW, "hitid_high": "", "hitid_low": ""}
    other = {**nameless, "post_pagename": "Another shoe"}
    land(settings, tmp_path / "feed", nameless, other, nameless)
    rows = landed_rows(settings)
    assert [row["event_id"] for row in rows] == [None] * 3
    first, second, third = (row["content_id"] for row in rows)
    assert first == third != second


def test_a_feed_out_of_a_warehouse_is_the_same_hits(
    settings: Settings, tmp_path: Path
) -> None:
    """Snowflake writes names in capitals, and numbers of 64 bits as decimals."""
    without_purchase = {**VIEW, "event_list": "1"}
    land(settings, tmp_path / "feed", without_purchase)
    hit: dict[str, Any] = {
        name: value or None for name, value in without_purchase.items()
    }
    hit |= {
        name: int(hit[name]) for name in ("page_event", "hit_time_gmt", "visit_num")
    }
    columns = {name.upper(): [value] for name, value in hit.items()}
    big = pa.decimal128(20, 0)
    table = pa.table(columns)
    for name in ("POST_VISID_HIGH", "POST_VISID_LOW"):
        number = pa.array([Decimal(columns[name][0])], big)
        table = table.set_column(table.column_names.index(name), name, number)
    pq.write_table(table, tmp_path / "hits.parquet")
    land_file(settings, tmp_path / "hits.parquet", "adobe")
    feed, lake = (
        {name: value for name, value in row.items() if name != "source_file"}
        for row in landed_rows(settings)
    )
    assert lake == feed
    assert lake["events"] is None


def test_an_evar_is_kept_where_the_yaml_declares_it() -> None:
    assert flat(post_evar5="blue", evar5="red")["evar5"] == "blue"


def test_a_dead_letter_is_mended_and_comes_in(
    settings: Settings, tmp_path: Path
) -> None:
    bad = {**VIEW, "post_cust_hit_time_gmt": "1", "post_event_list": "12,200=2",
           "post_product_list": ";sku-1;2;10"}  # fmt: skip
    land(settings, tmp_path / "feed", VIEW, bad)
    outcomes = replay(
        settings,
        find_letters(settings),
        Changes(fixes=(parse_fix(f"cust_hit_time_gmt={AT}"),)),
        clock=lambda: datetime(2026, 11, 24, tzinfo=UTC),
    )
    assert [outcome.status for outcome in outcomes] == ["replayed"]

    right, mended = landed_rows(settings)
    assert mended["hit_at"] == right["hit_at"]
    assert mended["visitor_id"] == right["visitor_id"]
    assert json.loads(mended["events"]) == {"event1": 2, "scAdd": 1}
    assert json.loads(mended["products"]) == [
        {"product_id": "sku-1", "quantity": 2, "total_cents": 1000}
    ]


def test_a_hit_with_faulty_products_can_go_without_them(
    settings: Settings, tmp_path: Path
) -> None:
    bad = {
        **VIEW,
        "post_product_list": f";{ADDRESS};many",
        "post_cust_visid": "anna-4711",
        "post_pagename": "Orders of anna-4711",
    }
    land(settings, tmp_path / "feed", VIEW, bad)
    [reject] = landed_rows(settings, "rejects")
    assert json.loads(reject["row_masked"])["post_product_list"] == "***"
    assert b"anna-4711" not in all_bytes(settings.raw)
    drops = (parse_path("post_product_list"), parse_path("pagename"))
    [outcome] = replay(settings, find_letters(settings), Changes(drops=drops))
    assert outcome.status == "replayed", outcome

    right, mended = landed_rows(settings)
    assert mended["visitor_id"] == right["visitor_id"]
    assert mended["user_id"] == load_pseudonymizer(settings).user("anna-4711")
    assert (mended["products"], mended["page_path"]) == (None, "/p/1")

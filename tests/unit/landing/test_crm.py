"""A CRM's exports at the door: told by their headers or by a crm.yml, and their faults."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nearline.deadletters.letters import find_letters
from nearline.deadletters.patching import Changes, parse_fix
from nearline.deadletters.replay import replay
from nearline.errors import InputError
from nearline.landing.crm_mapping import COLUMNS
from nearline.landing.formats import FILE_NAME
from nearline.landing.landings import Landing, land_file
from nearline.landing.registry import find_format
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import all_bytes, landed_rows, run_command

ANNA = {
    "Record ID": "88801001",
    "First Name": "Anna",
    "Email": "Anna@Shop.example",
    "Phone Number": "+49 170 1234567",
    "Lifecycle Stage": "Customer",
    "Create Date": "2026-01-15 09:30",
    "Last Modified Date": "2026-09-01 10:00",
}
DEAL = {
    "Record ID": "77701",
    "Deal Name": "Anna Beispiel lamps",
    "Deal Stage": "Closed Won",
    "Amount": "1250.50",
    "Currency": "EUR",
    "Close Date": "2026-08-30 16:00",
    "Last Modified Date": "2026-08-31 08:00",
    "Associated Contact IDs": "88801001",
}
ORDER = {"order_id": "1001", "ordered_at": "2026-08-30 16:00", "amount": "10"}


def write_csv(path: Path, *rows: dict[str, str], **layout: Any) -> Path:
    """Rows as CSV; values must need no quotes."""
    names = list({name: None for row in rows for name in row})
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    text = "".join(",".join(line) + "\n" for line in lines)
    path.write_text(text, **({"encoding": "utf-8"} | layout))
    return path


def land(settings: Settings, path: Path, *rows: dict[str, str]) -> Landing:
    return land_file(settings, write_csv(path, *rows), "crm")


def refused(settings: Settings, path: Path, *rows: dict[str, str]) -> dict[str, Any]:
    """What became of the only row at fault among `rows`."""
    land(settings, path, *rows)
    [reject] = landed_rows(settings, "rejects")
    return reject


def landed(settings: Settings) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in landed_rows(settings)
    ]


def map_columns(folder: Path, **mapping: Any) -> None:
    (folder / "crm.yml").write_text(yaml.safe_dump(mapping))


def test_contact_is_kept_as_pseudonyms_and_attributes(
    settings: Settings, tmp_path: Path
) -> None:
    land(settings, tmp_path / "contacts.csv", ANNA)

    [row] = landed(settings)
    pseudonyms = load_pseudonymizer(settings)
    assert row["kind"] == "contact"
    assert row["visitor_id"] == pseudonyms.visitor("crm", "contact:88801001")
    assert row["contact_id"] == pseudonyms.contact("anna@shop.example")
    assert json.loads(row["properties"]) == {"lifecycle_stage": "Customer"}
    kept = all_bytes(settings.raw).lower()
    for planted in ("88801001", "anna@", "1234567", "anna"):
        assert planted.encode() not in kept


def test_headers_are_told_in_any_case_and_spacing(
    settings: Settings, tmp_path: Path
) -> None:
    written = {f" {name.upper()}  ": value for name, value in ANNA.items()}
    land(settings, tmp_path / "contacts.csv", written)
    land(settings, tmp_path / "again.csv", ANNA)

    first, second = landed(settings)
    assert first["event_id"] == second["event_id"]


def test_a_record_touched_and_not_changed_has_the_same_content(
    settings: Settings, tmp_path: Path
) -> None:
    touched = ANNA | {"Last Modified Date": "2026-09-02 10:00", "Phone Number": ""}
    changed = ANNA | {"Lifecycle Stage": "Evangelist"}
    land(settings, tmp_path / "contacts.csv", ANNA, touched, changed)

    ids = [row["event_id"] for row in landed(settings)]
    assert ids[0] == ids[1] != ids[2]


def test_without_a_modification_date_a_contact_is_of_its_creation(
    settings: Settings, tmp_path: Path
) -> None:
    land(settings, tmp_path / "contacts.csv", ANNA | {"Last Modified Date": ""})

    [row] = landed(settings)
    assert row["modified_at"].isoformat() == "2026-01-15T09:30:00"


def test_json_lines_and_parquet_are_told_by_their_names_too(
    settings: Settings, tmp_path: Path
) -> None:
    lines = tmp_path / "contacts.jsonl"
    lines.write_text(json.dumps(ANNA) + "\n")
    table = tmp_path / "orders.parquet"
    moments = pa.array([1_788_100_000_000_000], pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"order_id": [7.0], "ordered_at": moments, "amount": [9.99]}), table
    )
    for path in (lines, table):
        assert land_file(settings, path, "crm").accepted_count == 1

    contact, order = landed(settings)
    assert contact["kind"] == "contact"
    assert (order["order_id"], order["revenue_cents"]) == ("7", 999)


def test_json_lines_take_a_mapping_though_a_record_lacks_names(
    settings: Settings, tmp_path: Path
) -> None:
    map_columns(
        tmp_path,
        files={
            "*": {
                "rows": "orders",
                "columns": {"order_id": "no", "ordered_at": "at", "email": "mail"},
            }
        },
    )
    path = tmp_path / "orders.jsonl"
    records = [
        {"no": 1, "at": "2026-09-01"},
        {"no": 2, "at": "2026-09-01", "mail": "-"},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))

    assert land_file(settings, path, "crm").accepted_count == 2


@pytest.mark.parametrize(
    ("fields", "is_sold"),
    [
        ({}, True),
        ({"Deal Stage": "closedwon"}, True),
        ({"Deal Stage": "Closed Lost"}, False),
        ({"Deal Stage": "Shipped", "Is Closed Won": "true"}, True),
        ({"Is Closed Won": "false"}, False),
    ],
)
def test_what_was_sold_is_told_by_its_own_column_else_by_the_stage(
    settings: Settings, tmp_path: Path, fields: dict[str, str], is_sold: bool
) -> None:
    land(settings, tmp_path / "deals.csv", DEAL | fields)

    assert landed(settings)[0]["is_sold"] is is_sold


def test_stages_that_count_as_sold_can_be_said_for_a_known_export(
    settings: Settings, tmp_path: Path
) -> None:
    map_columns(tmp_path, files={"deals*.csv": {"sold": ["Shipped"]}})
    land(settings, tmp_path / "deals.csv", DEAL, DEAL | {"Deal Stage": "shipped "})

    assert [row["is_sold"] for row in landed(settings)] == [False, True]


@pytest.mark.parametrize(
    ("contacts", "visitor"),
    [
        ("88801001", "contact:88801001"),
        ("88801001; 88801001;", "contact:88801001"),
        ("88801001;88801002", "order:hubspot:77701"),
        ("", "order:hubspot:77701"),
    ],
)
def test_a_deal_is_of_its_only_contact_else_of_nobody_that_is_known(
    settings: Settings, tmp_path: Path, contacts: str, visitor: str
) -> None:
    land(settings, tmp_path / "deals.csv", DEAL | {"Associated Contact IDs": contacts})

    [row] = landed(settings)
    assert row["visitor_id"] == load_pseudonymizer(settings).visitor("crm", visitor)


def test_an_order_of_a_record_says_nothing_of_the_address_typed_in(
    settings: Settings, tmp_path: Path
) -> None:
    order = ORDER | {"email": "gift@shop.example"}
    land(settings, tmp_path / "o.csv", order, order | {"contact_record_id": "88801001"})

    pseudonyms = load_pseudonymizer(settings)
    guest, known = landed(settings)
    assert guest["visitor_id"] == pseudonyms.visitor("crm", "email:gift@shop.example")
    assert guest["contact_id"] == pseudonyms.contact("gift@shop.example")
    assert known["visitor_id"] == pseudonyms.visitor("crm", "contact:88801001")
    assert "contact_id" not in known


def test_ids_of_salesforce_are_one_with_and_without_their_check_characters(
    settings: Settings, tmp_path: Path
) -> None:
    moment = "2026-09-01T10:00:00.000Z"
    exported = {"Id": "0035g00000AAAAaAAB", "Email": "", "LastModifiedDate": moment}
    reported = {
        "Contact ID": "0035g00000AAAAa",
        "Email": "",
        "Last Modified Date": moment,
    }
    land(settings, tmp_path / "Contact.csv", exported)
    land(settings, tmp_path / "report.csv", reported)

    first, second = landed(settings)
    assert first["visitor_id"] == second["visitor_id"]


def test_times_are_of_the_zone_that_is_said_and_days_are_days(
    settings: Settings, tmp_path: Path
) -> None:
    map_columns(tmp_path, zone="Europe/Berlin")
    moments = (
        "2026-08-30 16:00",
        "2026-01-30 16:00",
        "2026-08-30T16:00:00Z",
        "2026-08-30T16:00:00-07:00",
        "2026-08-30",
    )
    land(settings, tmp_path / "o.csv", *(ORDER | {"ordered_at": m} for m in moments))

    assert [row["ordered_at"].isoformat(" ") for row in landed(settings)] == [
        "2026-08-30 14:00:00",
        "2026-01-30 15:00:00",
        "2026-08-30 16:00:00",
        "2026-08-30 23:00:00",
        "2026-08-30 00:00:00",
    ]


def test_dates_are_read_as_the_mapping_writes_them(
    settings: Settings, tmp_path: Path
) -> None:
    map_columns(tmp_path, zone="America/New_York", time_format="%m/%d/%Y")
    land(settings, tmp_path / "o.csv", ORDER | {"ordered_at": "8/5/2026"})

    assert landed(settings)[0]["ordered_at"].isoformat(" ") == "2026-08-05 00:00:00"


def test_the_file_under_a_mended_mapping_is_landed_again(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "o.csv", ORDER)
    assert land_file(settings, path, "crm").is_new
    assert not land_file(settings, path, "crm").is_new

    map_columns(tmp_path, currency="EUR")

    assert land_file(settings, path, "crm").is_new
    assert not land_file(settings, path, "crm").is_new
    assert [row.get("currency") for row in landed(settings)] == [None, "EUR"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("files: [", "crm.yml is not YAML in UTF-8; mend it"),
        ("zone: Europe/Bonn", "crm.yml, zone: is no time zone such as Europe/Berlin"),
        ("colour: red", "crm.yml, colour: Extra inputs are not permitted"),
        (
            "files: {o.csv: {columns: {order_id: no}}}",
            "crm.yml, o.csv: say `rows: contacts` or `rows: orders`",
        ),
        (
            "files: {o.csv: {rows: deals, columns: {order_id: no}}}",
            "crm.yml, files.o.csv.rows: Input should be 'contacts' or 'orders'",
        ),
        (
            "files: {o.csv: {rows: orders, columns: {phone: no}}}",
            "crm.yml, o.csv: orders have no column 'phone'; use ",
        ),
        (
            "files: {o.csv: {rows: orders, columns: {order_id: order_id}}}",
            "crm.yml, o.csv: there is no column for ordered_at; orders need it",
        ),
        (
            "files: {o.csv: {rows: orders, columns: "
            "{order_id: order_id, ordered_at: ordered_at, status: State}}}",
            "crm.yml, o.csv: status is to come from a column state, "
            "which the file does not have",
        ),
        (
            "files: {o.csv: {properties: {who: First Name}}}",
            "crm.yml, o.csv: the property 'who' would tell who somebody is; leave it out",
        ),
        (
            "files: {o.csv: {order_prefix: 'a b'}}",
            "crm.yml, files.o.csv.order_prefix: String should match pattern",
        ),
    ],
)
def test_a_faulty_mapping_is_named_with_what_is_at_fault(
    settings: Settings, tmp_path: Path, mapping: str, message: str
) -> None:
    (tmp_path / "crm.yml").write_text(mapping)

    with pytest.raises(InputError) as problem:
        land(settings, tmp_path / "o.csv", ORDER)

    assert str(problem.value).startswith(message)
    assert landed_rows(settings) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"name": "Anna", "spent": "10"},
            "o.csv: its columns are those of no export that is known; say in crm.yml "
            "beside it what they are (docs/sources/crm.md)",
        ),
        (
            {"Record ID": "1", "Email": "a@shop.example"},
            "o.csv: there is no column for modified_at or created_at (such as last "
            "modified date, create date); contacts need it",
        ),
    ],
)
def test_a_file_that_cannot_be_told_is_not_landed(
    settings: Settings, tmp_path: Path, row: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as problem:
        land(settings, tmp_path / "o.csv", row)

    assert str(problem.value) == message


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (ANNA | {"Email": "Anna B."}, "email", "must be an e-mail address; got text"),
        (
            ANNA | {"Email": "Anna <anna@shop.example>"},
            "email",
            "must be an e-mail address; got text",
        ),
        (
            ANNA | {"Record ID": "", "Email": ""},
            "record_id",
            "is missing; a contact needs it, email or user_id",
        ),
        (
            ANNA | {"Create Date": "", "Last Modified Date": ""},
            "modified_at",
            "is missing; every row needs it unless kind is order",
        ),
        (
            ANNA | {"Last Modified Date": "yesterday"},
            "modified_at",
            "must be a time like 2026-03-02 12:00:00; got text",
        ),
        (
            ANNA | {"Last Modified Date": "1026-09-01 10:00"},
            "modified_at",
            "must lie in the years 2000 to 2099",
        ),
        (
            ANNA | {"Create Date": "0000-00-00"},
            "created_at",
            "must be a time like 2026-03-02 12:00:00; got text",
        ),
    ],
)
def test_a_contact_at_fault_is_kept_aside_with_field_and_reason(
    settings: Settings, tmp_path: Path, row: dict[str, str], field: str, reason: str
) -> None:
    reject = refused(settings, tmp_path / "contacts.csv", ANNA, row)

    assert (reject["field"], reject["reason"]) == (field, reason)
    kept = all_bytes(settings.raw).lower()
    for planted in ("88801001", "anna", "1234567"):
        assert planted.encode() not in kept


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (ORDER | {"order_id": ""}, "order_id", "is missing"),
        (ORDER | {"ordered_at": ""}, "ordered_at", "is missing"),
        (ORDER | {"ordered_at": "31.08.2026"}, "ordered_at", "must be a time like"),
        (ORDER | {"amount": "ten"}, "amount", "must be an amount from 0.0 on"),
        (ORDER | {"amount": "-5"}, "amount", "must be an amount from 0.0 on"),
        (ORDER | {"currency": "Euros"}, "currency", "must be three letters"),
        (ORDER | {"is_sold": "perhaps"}, "is_sold", "must be true or false"),
        (ORDER | {"item_id": "a", "quantity": "0"}, "quantity", "must be a whole"),
        (ORDER | {"email": "555-0101"}, "email", "must be an e-mail address"),
    ],
)
def test_an_order_at_fault_is_kept_aside_with_field_and_reason(
    settings: Settings, tmp_path: Path, row: dict[str, str], field: str, reason: str
) -> None:
    reject = refused(settings, tmp_path / "orders.csv", ORDER, row)

    assert reject["field"] == field
    assert reject["reason"].startswith(reason)
    assert reject["source"] == "crm"


def test_a_row_with_a_value_too_many_is_kept_aside(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "contacts.csv", ANNA, ANNA)
    # A comma in a name that is not quoted.
    path.write_text(path.read_text().replace(",Anna,", ",Beispiel, Anna,", 1))
    land_file(settings, path, "crm")

    [reject] = landed_rows(settings, "rejects")
    assert (reject["field"], reject["reason"]) == (
        "(row)",
        "8 values under 7 columns",
    )
    assert len(landed_rows(settings)) == 1


def test_a_file_whose_columns_are_shifted_is_stopped(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"max_rejected_share": 0.5})
    header, values = list(ANNA), list(ANNA.values())
    shifted = dict(zip(header, values[-1:] + values[:-1], strict=True))

    with pytest.raises(InputError) as problem:
        land(settings, tmp_path / "contacts.csv", shifted, shifted, ANNA)

    assert str(problem.value).startswith(
        "contacts.csv: 67% of its rows do not fit format 'crm', more than the 50% that "
        "are let pass (first: row 1, email: must be an e-mail address; got text)"
    )
    assert landed_rows(settings) == []


def test_a_file_in_another_encoding_or_cut_short_is_named_and_left_out(
    settings: Settings, tmp_path: Path
) -> None:
    latin = write_csv(
        tmp_path / "latin.csv", ANNA | {"First Name": "Jörg"}, encoding="latin-1"
    )
    cut = write_csv(tmp_path / "cut.csv", ANNA, ANNA | {"Lifecycle Stage": '"Custo'})
    write_csv(tmp_path / "good.csv", ANNA)

    for path, message in (
        (latin, "latin.csv, line 2: is not UTF-8; convert it"),
        (cut, "cut.csv, line 3: is not readable as CSV; is a quote left open"),
    ):
        with pytest.raises(InputError, match=message):
            land_file(settings, path, "crm")
    done = run_command(settings, "ingest", tmp_path, "--format", "crm")
    assert done.returncode == 2
    assert "1 of 3 files landed: 1 rows accepted, 0 rejected" in done.stdout
    assert "Anna" not in done.stderr + done.stdout


def test_a_refused_contact_is_mended_and_replayed(
    settings: Settings, tmp_path: Path
) -> None:
    land(settings, tmp_path / "contacts.csv", ANNA, ANNA | {"Email": "anna at shop"})
    changes = Changes(fixes=(parse_fix("email=anna@shop.example"),))
    outcomes = replay(settings, find_letters(settings), changes)

    assert [outcome.status for outcome in outcomes] == ["replayed"]
    first, mended = landed(settings)
    assert mended["event_id"] == first["event_id"]


def test_attributes_never_hold_what_the_row_is_hashed_by(
    settings: Settings, tmp_path: Path
) -> None:
    map_columns(
        tmp_path,
        files={"c.csv": {"properties": {"segment": "Segment", "note": "Remark"}}},
    )
    row = ANNA | {"Segment": "vip", "Remark": "see 88801001"}
    land(settings, tmp_path / "c.csv", row, ANNA | {"Remark": "mail b@shop.example"})

    first, second = (json.loads(row["properties"]) for row in landed(settings))
    assert first == {"lifecycle_stage": "Customer", "segment": "vip", "note": "***"}
    assert second == {"lifecycle_stage": "Customer", "note": "***"}


def test_every_column_of_a_mapping_is_one_that_the_door_takes() -> None:
    taken = find_format(Settings(), "crm").known_columns
    of_persons = {"record_id", "contact_record_id"}
    asked_of_the_row = {"is_deleted"}

    mapped = set().union(*COLUMNS.values())
    assert mapped - of_persons - asked_of_the_row <= taken
    assert FILE_NAME not in taken

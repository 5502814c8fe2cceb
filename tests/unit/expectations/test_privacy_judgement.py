"""Which texts are taken for identifiers, and that SQL lets none of them through.

The oracle of the SQL phase is `judge_text` on every value, without SQL.
"""

import json
import random
from urllib.parse import quote

import duckdb
import pytest

from expectations.privacy import (
    find_in_table,
    judge_text,
    privacy_suites,
    write_findings,
)
from expectations.validation import evaluate


@pytest.mark.parametrize(
    "text",
    [
        "anna@example.com",
        quote("anna@example.com", safe=""),
        quote(quote("anna@example.com", safe=""), safe=""),
        json.dumps({"to": "anna@example.com"}),
        '{"to": "anna\\u0040example.com"}',
        json.dumps({"inner": '{"to": "anna\\u0040example.com"}'}),
        json.dumps(
            {"inner": json.dumps({"inner": '{"to": "anna\\u0040example.com"}'})}
        ),
        quote('{"to": "anna\\u0040example.com"}'),
        json.dumps({"anna@example.com": 1}),
        json.dumps(["call\n+49 170 1234567"]),
        json.dumps(["call\n555-123-4567"]),
        json.dumps(["at\nfe80::1ff:fe23:4567:890a"]),
        "555+123+4567",
        "192.168.10.20",
        "2001:db8::8a2e:370:7334",
    ],
)
def test_identifier_is_recognized_in_every_form(text):
    assert judge_text(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "/product/sku-00123",
        "2026-03-02T12:00:10.000Z",
        "3f2b8c1e-5a77-4d0e-9b1c-2f4e6a8b0c1d",
        "d41d8cd98f00b204e9800998ecf8427e",
        "4915112345678",
        "spring+sale_2026-03-02",
        "50% off & more",
        "12:30:45",
        '{"price": 4999.5, "at": 1772452810000, "ratio": 1e+12}',
        '{"note": "line one\\nline two 123456"}',
        "{broken json",
        "[" * 5000,
    ],
)
def test_ordinary_text_passes(text):
    assert judge_text(text) is None


def test_sql_lets_through_nothing_that_judging_every_value_finds():
    chance = random.Random(20260302)
    pieces = [
        "anna", "@", "example.com", "%40", "%2540", "\\u0040", "+49", "170", "1234567",
        "555-123-4567", "(555)", "123", "4567", "10.0.0.7", "fe80::1", "%2B", "+", " ",
        "\n", "\t", "-", ".", "x", "q", '"', "\\", "9", "%5Cu0040", "::", "0",
    ]  # fmt: skip
    values = []
    for _ in range(4000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 6)))
        for _ in range(chance.randint(0, 2)):
            text = json.dumps({"k": text})
        values.append(text)
    expected = sum(judge_text(value) is not None for value in values)
    connection = duckdb.connect()
    connection.execute("create table texts (value varchar)")
    connection.executemany("insert into texts values (?)", [[v] for v in values])

    (finding,) = find_in_table(connection, "texts", [("value", "VARCHAR")])

    assert 500 < expected < 3500
    assert finding.offending_row_count == expected


@pytest.mark.parametrize("other", ["value", "row_count"])
def test_column_is_read_beside_one_of_any_name(other):
    connection = duckdb.connect()
    connection.execute(
        f"create table notes as select 'to anna@example.com' as note, 7 as {other}"
    )
    (finding,) = find_in_table(connection, "notes", [("note", "VARCHAR")])
    assert (finding.offending_row_count, finding.problem) == (1, None)


def test_columns_that_can_hold_text_are_read_whatever_their_type():
    connection = duckdb.connect()
    connection.execute(
        """
        create table odd as select
            ['x', 'anna@example.com'] as listed,
            {'a': {'b': 'anna@example.com'}} as nested,
            map {'k': 'anna@example.com'} as mapped,
            'anna@example.com'::blob as bytes,
            'anna@example.com'::enum ('anna@example.com') as coded,
            12345678 as number,
            date '2026-03-02' as day,
            [1, 2] as numbers
        """
    )
    columns = [
        (row[0], row[1]) for row in connection.execute("describe odd").fetchall()
    ]

    findings = find_in_table(connection, "odd", columns)

    assert {f.column: f.offending_row_count for f in findings} == {
        "listed": 1,
        "nested": 1,
        "mapped": 1,
        "bytes": 1,
        "coded": 1,
        "numbers": 0,
    }


@pytest.mark.parametrize(
    ("column", "value", "offends"),
    [
        ("visitor_id", "v_Zm9vYmFyYmF6cXV4MTIzNA", False),
        ("visitor_id", "12345678", True),
        ("visitor_id", "555-123-4567", True),
        ("visitor_id", "anna@example.com", True),
        ("visitor_id", "short", True),
        ("user_id", "12345678", True),
        ("person_id", "p_d41d8cd98f00b204e9800998ecf8427e", False),
        ("order_id", "4915112345678", False),
        ("order_id", "555-123-4567", False),
        ("order_id", "anna@example.com", True),
        ("event_id", "a b", True),
        ("account_id", "4915112345678", False),
        ("account_id", "555-123-4567", True),
    ],
)
def test_declared_ids_are_held_to_their_form_and_others_to_their_looks(
    column, value, offends
):
    connection = duckdb.connect()
    connection.execute(f"create table ids ({column} varchar)")
    connection.execute("insert into ids values (?), (null)", [value])

    (finding,) = find_in_table(connection, "ids", [(column, "VARCHAR")])

    assert finding.offending_row_count == int(offends)


def test_number_in_the_place_of_a_pseudonym_offends():
    connection = duckdb.connect()
    connection.execute("create table ids as select 12345678 as visitor_id")

    (finding,) = find_in_table(connection, "ids", [("visitor_id", "INTEGER")])

    assert finding.offending_row_count == 1


def test_ids_of_items_are_held_to_their_form_inside_json():
    connection = duckdb.connect()
    connection.execute(
        """
        create table lines (items varchar);
        insert into lines values
            ('[{"item_id": "555-123-4567", "quantity": 1}]'),
            ('[{"item_id": "sku-1", "item_brand": "555-123-4567"}]'),
            ('[{"item_id":"anna@example.com"}]')
        """
    )

    (finding,) = find_in_table(connection, "lines", [("items", "VARCHAR")])

    assert finding.offending_row_count == 2
    assert finding.kinds == ("e-mail address", "phone number")


@pytest.mark.parametrize("is_scanned", [True, False])
def test_column_that_could_not_be_read_is_an_error_not_a_pass(tmp_path, is_scanned):
    database = tmp_path / "checks.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table notes as select 'x' as note")
        findings = find_in_table(connection, "notes", [("lost", "VARCHAR")])
        write_findings(connection, findings if is_scanned else [])

    (outcome,) = evaluate(database, privacy_suites(["notes"], findings)).outcomes

    assert findings[0].problem == "BinderException"
    assert outcome.status == "errored"

"""Every source's sample, landed and staged, against what its documentation says it means.

One folder below `tests/fixtures/sources` is one sample, named after its format:

- `input/`: files as the source exports them, with made-up people in them;
- `expected.jsonl`: the events of the contract that they mean, one a line in any order,
  written by hand; a field that is not named is null;
- `planted.txt`: identifiers in the input as written there, one a line, that may be kept
  nowhere.

In `expected.jsonl` an identifier is written as what it is in the input: a value
`{"$visitor": "…"}`, `{"$user": "…"}` or `{"$contact": "…"}` is its pseudonym,
`{"$key": "…"}` the key in place of an id of another form, and `{"$md5": [part, …]}` the
MD5 of parts put together. `"event_id": "$any"` stands where an id is a content hash.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from nearline.events.contract import Event
from nearline.landing.landings import land_file
from nearline.landing.records import find_files
from nearline.landing.registry import find_format
from nearline.settings import Settings
from tests.dbt.warehouse import DBT_PROJECT, PROVENANCE, Row, Warehouse
from tests.unit.landing.event_files import all_bytes

SAMPLES = sorted(
    folder
    for folder in (
        Path(__file__).resolve().parents[1] / "fixtures" / "sources"
    ).iterdir()
    if folder.is_dir()
)
KEY = "a key that every sample is hashed with"
ANY = "$any"
_JSON_FIELDS = ("items", "properties")
_PREFIXES = {"$visitor": "v", "$user": "u", "$contact": "c", "$key": "k"}

by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda folder: folder.name)


@dataclass(frozen=True)
class Sources:
    """The warehouse into which all samples went."""

    warehouse: Warehouse

    def staged(self, sample: Path) -> list[Row]:
        rows = self.warehouse.rows(f"from stg_{sample.name}__events")
        return [_as_event(row) for row in rows]


@pytest.fixture(scope="module")
def sources(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    # A folder of its own: other settings make dbt parse anew.
    warehouse = Warehouse(homes / "sources", tmp_path_factory.mktemp("target_sources"))
    settings = Settings(home=warehouse.home, pseudonym_key=SecretStr(KEY))
    warehouse.home.mkdir()
    for sample in SAMPLES:
        for path in find_files(
            sample / "input", find_format(settings, sample.name).files
        ):
            landing = land_file(settings, path, sample.name)
            assert landing.rejected_count == 0, f"{path}: see rejects of the landing"
    warehouse.dbt("run", "--vars", json.dumps({"sources": _consenting_sources()}))
    return Sources(warehouse)


def _consenting_sources() -> Row:
    """The project's sources, each taken under consent, as a shop would have to say."""
    project = yaml.safe_load((DBT_PROJECT / "dbt_project.yml").read_text())
    named: Row = {_source_of(sample): {} for sample in SAMPLES}
    return {
        name: {"assumed_consent": ["analytics", "personalization"], **source}
        for name, source in {**named, **project["vars"]["sources"]}.items()
    }


def _source_of(sample: Path) -> str:
    """What events of the sample's format say that they come from."""
    source = find_format(Settings(), sample.name).source_of({})
    assert source is not None
    return source


def _as_event(row: Row) -> Row:
    """A staged row as the contract writes an event: no nulls, times in text."""
    event: Row = {}
    for name, value in row.items():
        if value is None or name in PROVENANCE or name == "source_format":
            continue
        if isinstance(value, datetime):
            value = value.isoformat(timespec="milliseconds") + "Z"
        event[name] = json.loads(value) if name in _JSON_FIELDS else value
    return event


def _expected(sample: Path) -> list[Row]:
    lines = (sample / "expected.jsonl").read_text().splitlines()
    source = _source_of(sample)
    return [_resolved(json.loads(line), source) for line in lines if line.strip()]


def _resolved(value: Any, source: str) -> Any:
    """`value` with every identifier in the place of its mark."""
    if isinstance(value, list):
        return [_resolved(inner, source) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(mark, inner)] = value.items()
        if mark in _PREFIXES:
            return _pseudonym(mark, inner, source)
        if mark == "$md5":
            text = "".join(_resolved(inner, source))
            return hashlib.md5(text.encode()).hexdigest()
    return {name: _resolved(inner, source) for name, inner in value.items()}


def _pseudonym(mark: str, identifier: str, source: str) -> str:
    """HMAC-SHA-256 by RFC 2104, cut to 128 bits; not by the library under test."""
    prefix = _PREFIXES[mark]
    scope = f"{source}\x1f" if mark in ("$visitor", "$key") else ""
    if mark == "$contact":
        identifier = identifier.strip().lower()
    message = f"{prefix}\x1f{scope}{identifier}"
    digest = hmac.new(KEY.encode(), message.encode(), "sha256").digest()[:16]
    return f"{prefix}_{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _sorted_lines(events: list[Row], event_id_of: Callable[[Row], str]) -> list[str]:
    named = [{**event, "event_id": event_id_of(event)} for event in events]
    return sorted(json.dumps(event, sort_keys=True) for event in named)


@by_sample
def test_a_sample_means_what_its_documentation_says(
    sources: Sources, sample: Path
) -> None:
    expected = _expected(sample)
    known_ids = {event["event_id"] for event in expected}
    staged = sources.staged(sample)

    assert _sorted_lines(
        staged,
        lambda event: event["event_id"] if event["event_id"] in known_ids else ANY,
    ) == _sorted_lines(expected, lambda event: event["event_id"])


@by_sample
def test_what_is_staged_keeps_the_contract(sources: Sources, sample: Path) -> None:
    staged = sources.staged(sample)
    assert staged
    for event in staged:
        Event.model_validate(event)


@by_sample
def test_an_identifier_in_a_sample_is_kept_nowhere(
    sources: Sources, sample: Path
) -> None:
    planted = (sample / "planted.txt").read_text().split("\n")
    planted = [identifier.lower() for identifier in planted if identifier]
    assert planted
    given = all_bytes(sample / "input").lower()
    warehouse = sources.warehouse
    raw = all_bytes(warehouse.settings.raw / f"format={sample.name}").lower()
    relations = warehouse.rows(
        "select table_name from information_schema.tables where table_schema = 'main'"
    )
    assert relations
    kept = [
        json.dumps(
            warehouse.rows(f"from {relation['table_name']}"), default=str
        ).lower()
        for relation in relations
    ]

    for identifier in planted:
        written = identifier.encode()
        assert written in given, f"{identifier} is not planted"
        assert written not in raw
        for relation, text in zip(relations, kept, strict=True):
            assert identifier not in text, relation["table_name"]


@by_sample
def test_a_sample_arrives_in_the_facts(sources: Sources, sample: Path) -> None:
    name = _source_of(sample)
    [found] = sources.warehouse.rows(
        f"select count(*) as n from fct_events where source = '{name}'"
    )
    assert found["n"] > 0

"""A file that cannot be read stops itself alone, by name and line."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from nearline.errors import InputError
from nearline.landing.landings import land_file
from nearline.landing.records import find_files
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, landing_ids, run_command, write_events

EVENTS = [{**PAGE, "event_id": f"e_{i}"} for i in range(2_000)]
HEADER = ",".join(PAGE)
ROW = ",".join(str(value).lower() for value in PAGE.values()).replace("+00:00", "Z")
ROW = ROW.replace("t12", "T12")


def _cut_gzip(folder: Path) -> Path:
    path = write_events(folder / "cut.jsonl.gz", EVENTS)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _flipped_gzip(folder: Path) -> Path:
    path = write_events(folder / "flipped.csv.gz", EVENTS)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF  # in the checksum: every line was read by then
    path.write_bytes(content)
    return path


def _not_gzip(folder: Path) -> Path:
    path = folder / "plain.jsonl.gz"
    path.write_text(json.dumps(PAGE) + "\n")
    return path


def _latin_1_lines(folder: Path) -> Path:
    path = folder / "latin.jsonl"
    good = json.dumps(PAGE) + "\n"
    bad = json.dumps({**PAGE, "page_title": "Größe"}, ensure_ascii=False) + "\n"
    path.write_bytes((good * 2 + bad + good).encode("latin-1"))
    return path


def _latin_1_rows(folder: Path) -> Path:
    path = folder / "latin.csv"
    path.write_bytes(f"{HEADER}\n{ROW}\n{ROW}\n{ROW}ß\n{ROW}\n".encode("latin-1"))
    return path


def _utf_16(folder: Path) -> Path:
    path = folder / "wide.csv"
    path.write_bytes(f"{HEADER}\n{ROW}\n".encode("utf-16"))
    return path


def _open_quote(folder: Path) -> Path:
    path = folder / "quote.csv"
    path.write_text(f'{HEADER}\n{ROW}\n{ROW}\n"{ROW}\n{ROW}\n')
    return path


def _stray_quote(folder: Path) -> Path:
    path = folder / "stray.csv"
    path.write_text(f'{HEADER}\n{ROW}\n"a"b,{ROW}\n')
    return path


def _no_parquet(folder: Path) -> Path:
    path = folder / "events.parquet"
    path.write_text("event_id,event_name\n")
    return path


def _cut_parquet(folder: Path) -> Path:
    path = write_events(folder / "cut.parquet", EVENTS)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def _damaged_parquet(folder: Path) -> Path:
    path = write_events(folder / "damaged.parquet", EVENTS)
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    return path


def _cut_parquet_gzip(folder: Path) -> Path:
    path = write_events(folder / "cut.parquet.gz", EVENTS)
    path.write_bytes(path.read_bytes()[:-200])
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_cut_gzip, "cut.jsonl.gz, line "),
        (_flipped_gzip, "flipped.csv.gz, line 2002: the gzip stream is cut or damaged"),
        (_not_gzip, "plain.jsonl.gz, line 1: is not gzip"),
        (_latin_1_lines, "latin.jsonl, line 3: is not UTF-8"),
        (_latin_1_rows, "latin.csv, line 4: is not UTF-8"),
        (_utf_16, "wide.csv, line 1: is not UTF-8"),
        (_open_quote, "quote.csv, line 4: is not readable as CSV"),
        (_stray_quote, "stray.csv, line 3: is not readable as CSV"),
        (_no_parquet, "events.parquet, row 1: cannot be read"),
        (_cut_parquet, "cut.parquet, row 1: cannot be read"),
        (_damaged_parquet, "damaged.parquet, row 1: cannot be read"),
        (_cut_parquet_gzip, "cut.parquet.gz, row 1: the gzip stream is cut"),
    ],
)
def test_an_unreadable_file_is_named_with_the_line_and_nothing_of_it_lands(
    settings: Settings, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    with pytest.raises(InputError) as problem:
        land_file(settings, make(tmp_path), "nearline")
    assert says in str(problem.value)
    assert str(problem.value).endswith("nothing of this file was landed")
    assert "\n" not in str(problem.value)
    assert landing_ids(settings) == []


def test_the_line_where_a_gzip_stream_was_cut_is_the_first_one_missing(
    settings: Settings, tmp_path: Path
) -> None:
    path = _cut_gzip(tmp_path)
    unpacker = zlib.decompressobj(wbits=31)
    read = unpacker.decompress(path.read_bytes()).count(b"\n")
    assert 0 < read < len(EVENTS)
    with pytest.raises(InputError, match=f"line {read + 1}: the gzip stream"):
        land_file(settings, path, "nearline")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("events.jsonl", "", "events.jsonl is empty"),
        ("events.csv", "", "events.csv is empty"),
        ("events.jsonl", "\n\n", "events.jsonl has no rows"),
        ("events.csv", f"{HEADER}\n", "events.csv has no rows"),
        ("events.csv", "\n", "events.csv has no column event_name"),
        (
            "events.csv",
            HEADER.replace("visitor_id", "cookie"),
            "has no column visitor_id, which format 'nearline' needs",
        ),
        (
            "events.csv",
            f"{HEADER},mood\n",
            "has a column mood that format 'nearline' does not know",
        ),
        (
            "events.csv",
            f"{HEADER},anna@example.com\n",
            "has a column *** that format 'nearline' does not know",
        ),
        ("events.csv", f"{HEADER},source\n", "has column source twice"),
        ("events.csv", HEADER.replace(",", ";"), "has no column event_name"),
        ("events.jsonl", "no JSON\n", "(row 1, (row): the line is not JSON)"),
        (
            "events.jsonl",
            json.dumps({**PAGE, "schema_version": "2.0"}),
            "(row 1, schema_version: major version 2 is not supported; send 1.x",
        ),
    ],
)
def test_a_file_without_events_is_told_in_one_line(
    settings: Settings, tmp_path: Path, name: str, content: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError) as problem:
        land_file(settings, path, "nearline")
    assert says in str(problem.value)
    assert "\n" not in str(problem.value)
    assert "example.com" not in str(problem.value)
    assert landing_ids(settings) == []


def test_events_of_one_format_are_no_events_of_another(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "events.jsonl", [PAGE])
    with pytest.raises(InputError, match=r"row 1, event_type: .*is --format right\?"):
        land_file(settings, path, "rees46")


def test_files_are_found_below_a_folder_in_name_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.jsonl.gz", "a/notes.txt", "c.parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [str(file.relative_to(tmp_path)) for file in find_files(tmp_path)]
    assert found == ["a/z.jsonl.gz", "b.csv", "c.parquet"]


@pytest.mark.parametrize("name", ["missing.jsonl", "events.txt", "folder"])
def test_a_path_without_data_files_is_an_input_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "events.txt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        find_files(tmp_path / name)


def test_a_folder_with_one_bad_file_lands_the_others_and_says_which_is_bad(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    write_events(folder / "a.jsonl", [PAGE])
    _latin_1_lines(folder)
    write_events(folder / "z.csv", [{**PAGE, "event_id": "e_9"}])
    done = run_command(settings, "ingest", folder, "--json")
    assert done.returncode == 2
    assert done.stderr == (
        "error: latin.jsonl, line 3: is not UTF-8; convert it; "
        "nothing of this file was landed\n"
    )
    summary = json.loads(done.stdout)
    assert summary["landed_file_count"] == 2
    assert summary["failed_file_count"] == 1
    assert landing_ids(settings) == [1, 2]

"""`nearline ingest`: files in, a line of what became of each, nothing half done."""

from dataclasses import asdict
from pathlib import Path

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.landing.landings import Landing, land_file
from nearline.landing.records import find_files
from nearline.landing.registry import find_format
from nearline.progress import progress_bar
from nearline.settings import load_settings


@click.command(
    epilog="Example: nearline ingest shop/events --format nearline",
    short_help="Land files of events as raw Parquet.",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    default="nearline",
    show_default=True,
    help="What the files hold; see docs/sources/README.md.",
)
@click.option(
    "--max-rejected-share",
    type=click.FloatRange(0, 1),
    help="Most rows of a file that may be refused, from 0 to 1; without it, "
    "NEARLINE_MAX_REJECTED_SHARE or half of them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def ingest(
    path: Path, format_name: str, max_rejected_share: float | None, as_json: bool
) -> None:
    """Land PATH (a file or a folder: .jsonl, .csv, .tsv, .parquet, gzipped or not).

    Rows that break the format are kept with file, row, field and reason, to be mended
    and replayed: see `nearline deadletters`; those that are no events are counted. A
    file landed before changes nothing. An unreadable file is named and left out; the
    others land, and the exit code is 2.
    """
    settings = load_settings()
    if max_rejected_share is not None:
        settings = settings.model_copy(
            update={"max_rejected_share": max_rejected_share}
        )
    format_ = find_format(settings, format_name)
    files = find_files(path, format_.files)
    landings: list[Landing] = []
    problems: list[str] = []
    sizes = [file.stat().st_size for file in files]
    with progress_bar("Landing", sum(sizes)) as bar:
        for number, file in enumerate(files):
            start = sum(sizes[:number])

            def advance(read: int, start: int = start) -> None:
                bar.reach(start + read)

            try:
                landings.append(land_file(settings, file, format_name, advance))
            except InputError as problem:
                problems.append(str(problem))
            bar.reach(start + sizes[number])
    new = [landing for landing in landings if landing.is_new]
    known_count = len(landings) - len(new)
    left_out_count = sum(landing.left_out_count for landing in new)
    summary = {
        "file_count": len(files),
        "landed_file_count": len(new),
        "known_file_count": known_count,
        "failed_file_count": len(problems),
        "accepted_row_count": sum(landing.accepted_count for landing in new),
        "rejected_row_count": sum(landing.rejected_count for landing in new),
        "left_out_row_count": left_out_count,
        "problems": problems,
        "landings": [asdict(landing) for landing in landings],
    }
    if as_json:
        print_json(summary)
    else:
        click.echo(
            f"{len(new)} of {len(files)} files landed: "
            f"{summary['accepted_row_count']:,} rows accepted, "
            f"{summary['rejected_row_count']:,} rejected"
            + (f", {left_out_count:,} left out" if left_out_count else "")
            + (f"; {known_count} landed before" if known_count else "")
        )
        for landing in new:
            if landing.rejected_count:
                click.echo(
                    f"  {landing.source_file}: {landing.rejected_count:,} rejected; "
                    "see `nearline deadletters list`"
                )
            for reason, count in landing.left_out.items():
                click.echo(f"  {landing.source_file}: {count:,} left out: {reason}")
    if problems:
        raise InputError("\nerror: ".join(problems))

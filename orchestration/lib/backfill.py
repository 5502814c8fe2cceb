"""Which days, of which source, a run reads again from raw Parquet."""

from dataclasses import dataclass
from datetime import date

from nearline.errors import InputError
from nearline.publication.tables import scan
from nearline.settings import Settings


@dataclass(frozen=True, slots=True)
class Backfill:
    """Events that occurred from the first to the last day, both included, in UTC."""

    first_day: date
    last_day: date
    source: str | None = None

    def as_vars(self) -> dict[str, str]:
        """The vars that dbt's `int_events__deduplicated` goes by."""
        days = {
            "backfill_from": self.first_day.isoformat(),
            "backfill_to": self.last_day.isoformat(),
        }
        return days if self.source is None else days | {"backfill_source": self.source}


def read_backfill(
    first_day: str | None,
    last_day: str | None,
    source: str | None,
    full_refresh: bool,
    today: date,
) -> Backfill | None:
    """What was asked for; None where nothing was.

    Raises:
        InputError: the words say which of the options is wrong, and what would do.
    """
    if first_day is None and last_day is None:
        if source is not None:
            raise InputError(
                "--source needs the days: --from 2026-03-01 --to 2026-03-07"
            )
        return None
    if first_day is None or last_day is None:
        given, missing = ("--to", "--from") if first_day is None else ("--from", "--to")
        raise InputError(f"{given} needs {missing}; for one day, give it twice")
    if full_refresh:
        raise InputError(
            "--full-refresh rebuilds all days and sources: leave out --from, --to and "
            "--source, or leave out --full-refresh"
        )
    first, last = _read_day("--from", first_day), _read_day("--to", last_day)
    if first > last:
        raise InputError(f"--from {first} is after --to {last}; swap them")
    if last > today:
        raise InputError(
            f"--to {last} is in the future; the last day can be {today} (UTC)"
        )
    return Backfill(first, last, source)


def _read_day(option: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # Python also reads 20260301 and 2026-W09-7, which dbt's vars do not take.
    if day is None or day.isoformat() != text:
        raise InputError(f"{option} is not a date such as 2026-03-01")
    return day


def check_source(settings: Settings, source: str | None) -> None:
    """Holds a source against those that the published tables tell of.

    Raises:
        InputError: there is no such source, or nothing was published yet.
    """
    import duckdb

    if not settings.published.exists():
        raise InputError(
            "nothing is published yet, so there is nothing to backfill; "
            "`nearline run` builds all days"
        )
    if source is None:
        return
    events = scan(settings.published, "ops_collection_audit")
    known = [
        str(row[0])
        for row in duckdb.sql(
            f"select distinct source from {events} order by source"
        ).fetchall()
    ]
    if source not in known:
        raise InputError(
            f"--source is none of the known sources: {', '.join(known) or 'none'}"
        )

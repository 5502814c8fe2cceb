"""A warehouse that is built anew beside the one in use, and takes its place when checked.

One run at a time builds and swaps: callers hold the run's lock. What a run that failed
or was killed left behind is known by its name and removed by the next. The file has the
warehouse's own name, in a folder of its own, since DuckDB's views name the database by
its file.
"""

import json
import shutil
from pathlib import Path

from nearline.privacy.suppression import applied_digest, mark_applied
from nearline.replacement import make_durable, replace_file
from nearline.settings import Settings

_CARD = "rebuild.json"


def begin_rebuild(settings: Settings, run: str, suppression: str) -> None:
    """Makes place for a new warehouse, to be built under the list of this digest."""
    discard_rebuild(settings)
    card = json.dumps({"run": run, "suppression": suppression})
    replace_file(_card(settings), lambda file: file.write(card.encode()))


def is_rebuilding(settings: Settings) -> bool:
    """Whether the run under way builds a new warehouse beside the one in use."""
    return _card(settings).exists()


def current_warehouse(settings: Settings) -> Path:
    """The warehouse that the run under way builds and publishes from."""
    if is_rebuilding(settings):
        return settings.rebuild / settings.warehouse.name
    return settings.warehouse


def current_suppression(settings: Settings) -> str:
    """Digest of the suppression list that `current_warehouse` was built with."""
    if is_rebuilding(settings):
        return str(_read_card(settings)["suppression"])
    return applied_digest(settings)


def discard_rebuild(settings: Settings, unless_of_run: str | None = None) -> bool:
    """Removes what a rebuild left; returns whether there was any.

    What run `unless_of_run` began stays: a run that was started again from its failed
    step goes on with it.
    """
    if not settings.rebuild.exists():
        return False
    if (
        unless_of_run is not None
        and is_rebuilding(settings)
        and _read_card(settings)["run"] == unless_of_run
    ):
        return False
    # First what marks it for one: a killed removal must not leave half a warehouse that
    # a later run takes for its own.
    _card(settings).unlink(missing_ok=True)
    shutil.rmtree(settings.rebuild)
    return True


def swap_in_rebuild(settings: Settings) -> bool:
    """Puts the new warehouse in the place of the old; returns whether there was one.

    A process killed at any moment leaves the old warehouse or the new one. What was not
    yet written into the old file goes with it: nothing was published from that.
    """
    if not is_rebuilding(settings):
        return False
    built = current_warehouse(settings)
    _write_out(built)
    make_durable(built)
    _beside(settings.warehouse, "wal").unlink(missing_ok=True)
    shutil.rmtree(_beside(settings.warehouse, "tmp"), ignore_errors=True)
    suppression = current_suppression(settings)
    built.replace(settings.warehouse)
    make_durable(settings.home)
    mark_applied(settings, suppression)
    discard_rebuild(settings)
    return True


def _write_out(warehouse: Path) -> None:
    """Moves what is in the write-ahead log, which does not move along, into the file."""
    if _beside(warehouse, "wal").exists():
        import duckdb

        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("checkpoint")


def _beside(warehouse: Path, suffix: str) -> Path:
    return warehouse.with_name(f"{warehouse.name}.{suffix}")


def _card(settings: Settings) -> Path:
    return settings.rebuild / _CARD


def _read_card(settings: Settings) -> dict[str, str]:
    fields: dict[str, str] = json.loads(_card(settings).read_text())
    return fields

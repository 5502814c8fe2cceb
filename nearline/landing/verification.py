"""Which landed files still have to be checked.

A file that passed is not read again while size and modification time stay: checking
costs what is new. One that was changed behind the door is checked again.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from nearline.replacement import replace_file
from nearline.settings import Settings


def unverified_files(settings: Settings, format_name: str) -> list[Path]:
    """Landed files of a format that have not passed as they are now, oldest first."""
    known = _load(settings, format_name)
    files = sorted(
        settings.raw.glob(f"format={format_name}/landing_id=*/events*.parquet")
    )
    return [file for file in files if known.get(_name(settings, file)) != _state(file)]


def remember_verified(
    settings: Settings, format_name: str, files: Sequence[Path]
) -> None:
    """Notes that these files passed as they are now."""
    if not files:
        return
    known = _load(settings, format_name)
    known |= {_name(settings, file): _state(file) for file in files}
    text = json.dumps(known, indent=1) + "\n"
    replace_file(_ledger(settings, format_name), lambda file: file.write(text.encode()))


def _ledger(settings: Settings, format_name: str) -> Path:
    return settings.raw / f".verified-{format_name}.json"


def _load(settings: Settings, format_name: str) -> dict[str, str]:
    path = _ledger(settings, format_name)
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _name(settings: Settings, file: Path) -> str:
    return str(file.relative_to(settings.raw))


def _state(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"

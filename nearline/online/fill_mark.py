"""From which release the online store was filled last.

Belongs here: one small file beside the store. A run publishes first and fills then, so
the link `published` does not tell what apps are served yet; this does.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from nearline.publication.releases import read_manifest
from nearline.replacement import replace_file
from nearline.settings import Settings


@dataclass(frozen=True, slots=True)
class FillMark:
    """The release whose values the store holds, or newer ones.

    `data_up_to` is UTC without a zone, None for a release without data; `suppression`
    the digest of the list that the release was built under.
    """

    release_id: str
    data_up_to: datetime | None
    suppression: str


def mark_file(settings: Settings) -> Path:
    return settings.online / "filled.json"


def mark_filled(settings: Settings, release: Path) -> FillMark | None:
    """Notes that the store holds everything of `release`; None where it has no manifest."""
    manifest = read_manifest(release)
    if manifest is None:
        return None
    moment = None
    if manifest.data_up_to is not None:
        stated = datetime.fromisoformat(manifest.data_up_to)
        moment = stated.astimezone(UTC).replace(tzinfo=None)
    mark = FillMark(manifest.release_id, moment, manifest.suppression)
    text = json.dumps(asdict(mark), default=datetime.isoformat) + "\n"
    replace_file(mark_file(settings), lambda file: file.write(text.encode()))
    return mark


def read_fill_mark(settings: Settings) -> FillMark | None:
    """The mark; None where the store was never filled by a run."""
    try:
        fields = json.loads(mark_file(settings).read_text())
    except FileNotFoundError:
        return None
    if fields["data_up_to"] is not None:
        fields["data_up_to"] = datetime.fromisoformat(fields["data_up_to"])
    return FillMark(**fields)

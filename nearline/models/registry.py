"""Versions of models on disk, and which of them serves.

    models/<name>/state.json          champion, challenger, champions before, what was done
    models/<name>/state.before.json   the state before that
    models/<name>/v<version>/         artifact files and card.json; never changed

A version appears whole, by the renaming of its folder; the state is one file, replaced in
one step. A process killed at any moment leaves the state before or the state after.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from nearline.errors import InputError, NearlineError
from nearline.locking import file_lock
from nearline.models.cards import (
    CARD,
    BrokenVersionError,
    ModelCard,
    ModelFacts,
    card_as_json,
    read_card,
)
from nearline.replacement import make_durable, replace_file

KEPT_VERSIONS = 5
"""So many of the newest stay, besides those that serve or could be rolled back to."""

_STATE, _STATE_BEFORE = "state.json", "state.before.json"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FOLDER = re.compile(r"v([1-9][0-9]*)")
_KEPT_ENTRIES = 100
_KEPT_CHAMPIONS = 3

Action = Literal["registered", "promoted", "refused", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done with a version, when (UTC) and why."""

    at: str
    action: Action
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """Which version serves, which one is compared with it, and what served before.

    `champions_before` is in order of their service, the last one latest: what a rollback
    returns to, and what is loaded where the champion cannot be. `cards` is the SHA-256 of
    each version's card.
    """

    champion: int | None = None
    challenger: int | None = None
    champions_before: tuple[int, ...] = ()
    last_version: int = 0
    cards: tuple[tuple[int, str], ...] = ()
    entries: tuple[Entry, ...] = ()

    def serving_order(self) -> tuple[int, ...]:
        """The champion, then what served before it, the latest first."""
        first = () if self.champion is None else (self.champion,)
        return (*first, *reversed(self.champions_before))

    def digest_of(self, version: int) -> str | None:
        return dict(self.cards).get(version)

    def last_decision(self) -> Entry | None:
        """What was last decided of any version; None where nothing was yet."""
        decided = (one for one in reversed(self.entries) if one.action != "registered")
        return next(decided, None)


def state_file(models: Path, name: str) -> Path:
    """It is replaced whenever another version is to serve."""
    return models / name / _STATE


def version_folder(models: Path, name: str, version: int) -> Path:
    return models / name / f"v{version}"


def registered_names(models: Path) -> list[str]:
    """Names of all models that have a state."""
    return sorted(
        {path.parent.name for path in models.glob("*/state*.json")}
        if models.exists()
        else ()
    )


def read_state(models: Path, name: str) -> ModelState:
    """The state of a model; an empty one where nothing was ever registered.

    Raises:
        BrokenVersionError: neither the state nor the one before it can be read.
    """
    return find_state(models, name)[0]


def find_state(models: Path, name: str) -> tuple[ModelState, str | None]:
    """The state, and a problem where it had to be taken from the file before."""
    folder = models / name
    paths = [state_file(models, name), folder / _STATE_BEFORE]
    if not any(path.exists() for path in paths):
        return ModelState(), None
    for path in paths:
        try:
            content = json.loads(path.read_text())
            state = ModelState(
                champion=content["champion"],
                challenger=content["challenger"],
                champions_before=tuple(content["champions_before"]),
                last_version=content["last_version"],
                cards=tuple((int(v), digest) for v, digest in content["cards"]),
                entries=tuple(Entry(**entry) for entry in content["entries"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        problem = None if path == paths[0] else f"{name}: {_STATE} cannot be read"
        return state, problem
    raise BrokenVersionError(
        f"model {name}: neither {_STATE} nor {_STATE_BEFORE} can be read; "
        f"move {folder} away and train anew"
    )


def register(
    models: Path,
    name: str,
    facts: ModelFacts,
    write: Callable[[Path], None],
    now: datetime,
    kept: int = KEPT_VERSIONS,
) -> ModelCard:
    """Writes a new version, makes it the challenger and removes old ones.

    Args:
        models: `settings.models`.
        write: writes the artifact's files into the folder that it is given; no row of a
            person may be in them.
        now: when it was trained, with a zone.

    Raises:
        InputError: the name cannot be a folder's.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f"model name {name!r} must be lowercase letters, digits and _, such as "
            "propensity_7d"
        )
    with file_lock(models / name / ".lock"):
        state = read_state(models, name)
        version = max([state.last_version, *versions(models, name)]) + 1
        stated = now.astimezone(UTC).isoformat(timespec="seconds")
        card = _write_version(models, name, version, facts, write, stated)
        folder = version_folder(models, name, version)
        registered = replace(
            state,
            challenger=version,
            last_version=version,
            cards=(*state.cards, (version, _digest(folder / CARD))),
            entries=(*state.entries, Entry(stated, "registered", version, "")),
        )
        removed = _old_versions(models, name, registered, kept)
        cards = tuple(pair for pair in registered.cards if pair[0] not in removed)
        _write_state(models, name, replace(registered, cards=cards))
        for old in removed:
            shutil.rmtree(version_folder(models, name, old))
    return card


def promote(
    models: Path, name: str, version: int, reason: str, now: datetime
) -> ModelState:
    """Makes `version` the champion, in one step; what served goes on until then.

    Raises:
        InputError: there is no such version.
        BrokenVersionError: its files are not as they were written.
    """
    with file_lock(_existing(models, name) / ".lock"):
        state = read_state(models, name)
        check_version(models, name, version, state)
        if state.champion == version:
            return state
        before = [v for v in state.serving_order()[::-1] if v != version]
        return _write_state(
            models,
            name,
            replace(
                state,
                champion=version,
                challenger=None if state.challenger == version else state.challenger,
                champions_before=tuple(before[-_KEPT_CHAMPIONS:]),
                entries=_with_entry(state, "promoted", version, reason, now),
            ),
        )


def rollback(models: Path, name: str, reason: str, now: datetime) -> ModelState:
    """Puts the champion before the present one back, the latest whose files are whole.

    Raises:
        InputError: there is none to go back to.
    """
    with file_lock(_existing(models, name) / ".lock"):
        state = read_state(models, name)
        for version in reversed(state.champions_before):
            try:
                check_version(models, name, version, state)
            except (InputError, BrokenVersionError):
                continue
            before = state.champions_before[: state.champions_before.index(version)]
            return _write_state(
                models,
                name,
                replace(
                    state,
                    champion=version,
                    champions_before=before,
                    entries=_with_entry(state, "rolled_back", version, reason, now),
                ),
            )
    raise InputError(f"model {name} has no earlier champion to go back to")


def decide(
    models: Path, name: str, version: int, is_passed: bool, reason: str, now: datetime
) -> ModelState:
    """Promotes a version that passed the gate; of another, notes that it was refused."""
    if is_passed:
        return promote(models, name, version, reason, now)
    return note(models, name, "refused", version, reason, now)


def note(
    models: Path, name: str, action: Action, version: int, reason: str, now: datetime
) -> ModelState:
    """Notes what was decided of a version, such as that the gate refused it."""
    with file_lock(_existing(models, name) / ".lock"):
        state = read_state(models, name)
        entries = _with_entry(state, action, version, reason, now)
        return _write_state(models, name, replace(state, entries=entries))


def versions(models: Path, name: str) -> list[int]:
    """Versions that are on disk, oldest first."""
    folder = models / name
    found = (_FOLDER.fullmatch(path.name) for path in folder.glob("v*"))
    return sorted(int(match[1]) for match in found if match)


def check_version(
    models: Path, name: str, version: int, state: ModelState
) -> ModelCard:
    """The card of a version every file of which is byte for byte what was written.

    Raises:
        InputError: there is no such version.
        BrokenVersionError: a file is missing, changed, or one too many.
    """
    folder = version_folder(models, name, version)
    if not folder.exists():
        known = ", ".join(f"v{v}" for v in versions(models, name))
        raise InputError(f"model {name} has no version {version}; there are: {known}")
    card = read_card(folder)
    if _digest(folder / CARD) != state.digest_of(version):
        raise BrokenVersionError(
            f"{name} v{version}: {CARD} is not what was registered"
        )
    for file in _files(folder):
        path = folder / file
        if file != CARD and card.files.get(file) != _digest(path):
            raise BrokenVersionError(
                f"{name} v{version}: {file} is not what was written"
            )
    for file in card.files:
        if not (folder / file).is_file():
            raise BrokenVersionError(f"{name} v{version}: {file} is missing")
    return card


def _existing(models: Path, name: str) -> Path:
    if name not in registered_names(models):
        known = ", ".join(registered_names(models)) or "none"
        raise InputError(f"there is no model {name!r}; registered: {known}")
    return models / name


def _write_version(
    models: Path,
    name: str,
    version: int,
    facts: ModelFacts,
    write: Callable[[Path], None],
    trained_at: str,
) -> ModelCard:
    for left in (models / name).glob(".draft-*"):
        shutil.rmtree(left)
    draft = models / name / f".draft-v{version}"
    draft.mkdir()
    try:
        write(draft)
        files = {file: _digest(draft / file) for file in _files(draft)}
        if not files or CARD in files:
            raise NearlineError(f"{name}: a version is at least one file beside {CARD}")
        card = ModelCard(name, version, trained_at, facts, files)
        (draft / CARD).write_text(json.dumps(card_as_json(card), indent=1) + "\n")
        for file in (*files, CARD):
            make_durable(draft / file)
        make_durable(draft)
        draft.rename(version_folder(models, name, version))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    make_durable(models / name)
    return card


def _old_versions(models: Path, name: str, state: ModelState, kept: int) -> list[int]:
    needed = {state.champion, state.challenger, *state.champions_before}
    found = versions(models, name)
    return [v for v in found[: max(0, len(found) - kept)] if v not in needed]


def _with_entry(
    state: ModelState, action: Action, version: int, reason: str, now: datetime
) -> tuple[Entry, ...]:
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    return (*state.entries, Entry(at, action, version, reason))[-_KEPT_ENTRIES:]


def _write_state(models: Path, name: str, state: ModelState) -> ModelState:
    path = state_file(models, name)
    if path.exists():
        before = path.read_bytes()
        # A state that cannot be read must not take the place of one that can.
        if find_state(models, name)[1] is None:
            replace_file(path.with_name(_STATE_BEFORE), lambda file: file.write(before))
    text = json.dumps(asdict(state), indent=1) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))
    return state


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

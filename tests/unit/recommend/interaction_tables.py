"""Interactions of a few rows, in memory and as files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from nearline.recommend.interactions import Interactions


def interactions(
    rows: Iterable[tuple[int, int, float]],
    owner_count: int | None = None,
    item_count: int | None = None,
) -> Interactions:
    """From (owner, item, time) rows, sorted as reading sorts them."""
    ordered = sorted(rows, key=lambda row: (row[0], row[2]))
    owners = np.array([row[0] for row in ordered], dtype=np.int32)
    items = np.array([row[1] for row in ordered], dtype=np.int32)
    return Interactions(
        owners=owners,
        items=items,
        times=np.array([row[2] for row in ordered], dtype=np.float64),
        owner_count=owner_count or int(owners.max(initial=-1)) + 1,
        item_count=item_count or int(items.max(initial=-1)) + 1,
    )


def sequences(*items: Sequence[int], item_count: int | None = None) -> Interactions:
    """One owner per sequence, each a second after the one before."""
    rows = [
        (owner, item, float(owner * 1000 + place))
        for owner, sequence in enumerate(items)
        for place, item in enumerate(sequence)
    ]
    return interactions(rows, len(items), item_count)


def random_interactions(
    owner_count: int, item_count: int, count: int, seed: int
) -> Interactions:
    rng = np.random.default_rng(seed)
    popular = rng.dirichlet(np.full(item_count, 0.5))
    return interactions(
        zip(
            rng.integers(0, owner_count, count).tolist(),
            rng.choice(item_count, count, p=popular).tolist(),
            rng.random(count).tolist(),
            strict=True,
        ),
        owner_count,
        item_count,
    )


def write_csv(path: Path, header: str, rows: Iterable[Sequence[object]]) -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_users(path: Path, seed: int = 1, user_count: int = 40) -> Path:
    """Two tastes: even users take even items, odd ones odd; some of the other kind."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(user_count):
        items = 2 * rng.permutation(15)[:8] + user % 2
        for place, item in enumerate([*items, int(rng.integers(0, 30))]):
            rows.append((f"user{user:03d}", f"i{item:02d}", 1_700_000_000 + place * 60))
    return write_csv(path, "user_id,item_id,timestamp", rows)


def write_sessions(path: Path, seed: int = 1, session_count: int = 40) -> Path:
    """Item n is followed by n + 1, most of the time."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in range(session_count):
        item = int(rng.integers(0, 12))
        for place in range(6):
            moment = 1_700_000_000 + session * 1000 + place
            rows.append((f"s{session:03d}", f"i{item:02d}", moment))
            item = (item + 1) % 12 if rng.random() < 0.8 else int(rng.integers(0, 12))
    return write_csv(path, "session_id,item_id,timestamp", rows)

"""An experiment's tables made of units, as the warehouse would sum them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from nearline.experiments.metrics import ExperimentMetric, WarehouseKind
from nearline.experiments.warehouse_experiment import (
    ExperimentTables,
    Exposures,
    Sums,
)

FIRST_DAY = date(2026, 9, 1)


@dataclass(frozen=True)
class Units:
    """Of one arm, a row per unit; `day` counts from the first, `group` is a device."""

    day: np.ndarray
    value: np.ndarray
    before: np.ndarray
    denominator: np.ndarray
    group: np.ndarray


def metric(name: str, kind: WarehouseKind, **fields: object) -> ExperimentMetric:
    """One of the measure `things`, over `visits` where it is a ratio."""
    below = "visits" if kind is WarehouseKind.RATIO else None
    fields = {"label": name.replace("_", " ").capitalize(), "description": ""} | fields
    return ExperimentMetric(
        name=name, kind=kind, measure="things", denominator=below, **fields
    )  # type: ignore[arg-type]


def draw_units(rng: np.random.Generator, count: int, *, lift: float = 0.0) -> Units:
    """Skewed values that follow what the unit did before, a third of the days each."""
    before = rng.gamma(2.0, 1.5, count)
    value = np.round(before * (1 + lift) + rng.gamma(1.0, 2.0, count), 3)
    return Units(
        np.arange(count) % 3,
        value,
        np.round(before, 3),
        1.0 + rng.poisson(2.0, count),
        np.array(["desktop", "mobile"])[rng.integers(0, 2, count)],
    )


def sum_up(units: Units, kept: np.ndarray, kind: WarehouseKind) -> Sums:
    """The arm's sums over the units that are kept."""
    x, y, d = units.before[kept], units.value[kept], units.denominator[kept]
    if kind in {WarehouseKind.PROPORTION, WarehouseKind.RETENTION}:
        y = (y > 4).astype(float)
    ratio = (float(d.sum()), float(d @ d), float(y @ d))
    is_ratio = kind is WarehouseKind.RATIO
    return Sums(
        int(kept.sum()),
        float(y.sum()),
        float(y @ y),
        *(ratio if is_ratio else (None, None, None)),
        float(x.sum()),
        float(x @ x),
        float(x @ y),
        float(x @ d) if is_ratio else None,
    )


def tables_of(
    arms: Mapping[str, Units], metrics: Sequence[ExperimentMetric], key: str = "x"
) -> ExperimentTables:
    """What the marts would hold of these units."""
    days = [FIRST_DAY + timedelta(days=n) for n in range(3)]
    start = datetime(2026, 9, 1, 8)
    return ExperimentTables(
        key,
        tuple(
            Exposures(name, len(u.day), 0, 0, 0, start, start + timedelta(days=2))
            for name, u in arms.items()
        ),
        {
            m.name: {
                day: {name: sum_up(u, u.day == n, m.kind) for name, u in arms.items()}
                for n, day in enumerate(days)
            }
            for m in metrics
        },
        {
            m.name: {
                day: {name: sum_up(u, u.day <= n, m.kind) for name, u in arms.items()}
                for n, day in enumerate(days)
            }
            for m in metrics
        },
        {
            m.name: {
                ("device_class", group): {
                    name: sum_up(u, u.group == group, m.kind)
                    for name, u in arms.items()
                }
                for group in ("desktop", "mobile")
            }
            for m in metrics
        },
    )

"""What choosing is worth: how often chosen items are taken, beside items drawn by chance.

Belongs here: reading what was shown (`fct_shown_items`) and comparing. Every place of a list
is given away by chance as often as any other, to any candidate alike; so chosen and drawn
items stand in the same places before the same people, and how much more often the chosen
are taken is the choice's doing, whatever else made people take things. That is why the
share that explores is kept: what is shown because it was liked cannot tell this.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nearline.errors import NearlineError
from nearline.estimates import Estimate
from nearline.privacy.suppression import suppressed_rows
from nearline.publication.tables import scan, table_path
from nearline.recommend.intervals import quotient_estimate, ratio_estimates

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from nearline.settings import Settings

Taking: TypeAlias = Literal["viewed", "carted", "bought"]

LEAST_PERSONS = 30
LEAST_TAKEN = 5
"""Of drawn items; with fewer the quotient is a matter of chance."""

_TABLE = "fct_shown_items"
_SHOWN = """
select
    recommender_version as version, person_id,
    count(*) filter (where not is_explored) as chosen,
    count(*) filter (where is_explored) as drawn,
    count(*) filter (where not is_explored and is_{taking}) as chosen_taken,
    count(*) filter (where is_explored and is_{taking}) as drawn_taken
from {shown}
where recommender_version is not null
    and is_outcome_complete and has_personalization_consent and not is_bot
    and visitor_id not in (select key_value from listed where key_type = 'visitor')
group by all
order by all
"""


@dataclass(frozen=True, slots=True)
class Worth:
    """One version's lists: items chosen and drawn, the shares of them that were taken, and
    how many times as often the chosen ones were.

    `problem` says why there is no `times`, or why not to trust it; None where it stands.
    """

    version: int
    person_count: int
    chosen_count: int
    drawn_count: int
    chosen_taken: Estimate
    drawn_taken: Estimate
    times: Estimate
    problem: str | None

    @property
    def is_worse_than_chance(self) -> bool:
        return self.times.ci_high is not None and self.times.ci_high < 1

    @property
    def is_better_than_chance(self) -> bool:
        return self.times.ci_low is not None and self.times.ci_low > 1


def read_worth(
    settings: "Settings", release: Path, taking: Taking, seed: int
) -> list[Worth]:
    """Of each version whose lists were shown, oldest first; people are drawn whole.

    Only what may be learnt from: consent to personalization as of the decision, no bots,
    nobody on the suppression list, and outcomes that are whole.

    Raises:
        NearlineError: the release was made before there was such a table.
    """
    import duckdb

    if not table_path(release, _TABLE).exists():
        raise NearlineError(
            f"the published release has no table {_TABLE}; run `nearline run`"
        )
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.register("listed", suppressed_rows(settings))
        rows = connection.sql(
            _SHOWN.format(taking=taking, shown=scan(release, _TABLE))
        ).to_arrow_table()
    return worth_of(rows, seed)


def worth_of(rows: "pa.Table", seed: int) -> list[Worth]:
    """From one row per version and person: `chosen`, `drawn` (items shown) and
    `chosen_taken`, `drawn_taken` (of these), beside `version`."""
    versions = np.asarray(rows["version"])
    counts = np.column_stack(
        [
            np.asarray(rows[name], dtype=np.float64)
            for name in ("chosen", "drawn", "chosen_taken", "drawn_taken")
        ]
    )
    return [
        _worth(int(version), counts[versions == version], seed)
        for version in np.unique(versions)
    ]


def _worth(version: int, counts: "NDArray[np.float64]", seed: int) -> Worth:
    shown, taken = counts[:, :2], counts[:, 2:]
    chosen_taken, drawn_taken = ratio_estimates(taken, shown, seed)
    drawn_count, drawn_taken_count = shown[:, 1].sum(), taken[:, 1].sum()
    problem = None
    if not drawn_count:
        problem = "nothing was shown by chance: let lists explore (exploration_share)"
    elif len(counts) < LEAST_PERSONS:
        problem = f"fewer than {LEAST_PERSONS} people were shown a list: wait"
    elif drawn_taken_count < LEAST_TAKEN:
        problem = (
            f"fewer than {LEAST_TAKEN} items shown by chance were taken: wait, or explore "
            "more"
        )
    times = (
        Estimate(None, None, None)
        if problem
        else quotient_estimate(taken[:, 0], shown[:, 0], taken[:, 1], shown[:, 1], seed)
    )
    return Worth(
        version=version,
        person_count=len(counts),
        chosen_count=int(shown[:, 0].sum()),
        drawn_count=int(drawn_count),
        chosen_taken=chosen_taken,
        drawn_taken=drawn_taken,
        times=times,
        problem=problem,
    )

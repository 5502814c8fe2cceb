"""Holds the published tables against the truth of a simulated shop.

The pipeline never reads the truth; this module reads both, after the fact, to tell
somebody who tries Nearline whether its numbers can be believed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import InputError
from nearline.publication.tables import open_release, scan

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class EffectComparison:
    """One metric's true effect beside its estimate; null where none could be made."""

    metric_name: str
    true_effect: float
    estimate: float | None
    ci_low: float | None
    ci_high: float | None

    @property
    def is_covered(self) -> bool:
        """Whether the interval holds the truth."""
        return (
            self.ci_low is not None
            and self.ci_high is not None
            and self.ci_low <= self.true_effect <= self.ci_high
        )

    def in_words(self) -> str:
        """One line for a terminal."""
        words = "no estimate"
        if self.estimate is not None:
            words = (
                f"estimated {self.estimate:+.4g} "
                f"(95 % interval {self.ci_low:+.4g} to {self.ci_high:+.4g}), "
                f"{'holds' if self.is_covered else 'misses'} the truth"
            )
        return f"effect on {self.metric_name}: true {self.true_effect:+.4g}, {words}"


@dataclass(frozen=True, slots=True)
class PersonComparison:
    """Pairs of identifiers that are one person's: truly, as found, and both.

    `provable_pair_count` are those true pairs that events can prove: of devices on which
    the person signed in, and the account.
    """

    true_pair_count: int
    provable_pair_count: int
    found_pair_count: int
    matching_pair_count: int

    @property
    def precision(self) -> float | None:
        """Share of found pairs that are true; null where none was found."""
        return _share(self.matching_pair_count, self.found_pair_count)

    @property
    def recall(self) -> float | None:
        """Share of true pairs that were found; null where there are none."""
        return _share(self.matching_pair_count, self.true_pair_count)

    def in_words(self) -> str:
        """One line for a terminal."""
        if self.precision is None or self.recall is None:
            return "no two identifiers of one person to compare"
        provable = self.provable_pair_count / self.true_pair_count
        return (
            f"precision {self.precision:.1%}, recall {self.recall:.1%} over "
            f"{self.true_pair_count:,} true pairs of identifiers (events can prove "
            f"{provable:.1%}; on the other devices nobody signed in)"
        )


@dataclass(frozen=True, slots=True)
class TruthComparison:
    """Counts of what was found against what was made."""

    true_session_count: int
    found_session_count: int
    matching_session_count: int
    true_bot_visitor_count: int
    found_bot_visitor_count: int
    people_taken_for_bots_count: int
    persons: PersonComparison
    effects: tuple[EffectComparison, ...]

    def in_words(self) -> str:
        """Lines for a terminal."""
        lines = [
            "Against the shop's truth:",
            f"  sessions: {self.matching_session_count:,} of "
            f"{self.true_session_count:,} found with the same visitor, start, end and "
            f"number of events ({self.found_session_count:,} in fct_sessions)",
            f"  bots: {self.found_bot_visitor_count:,} of "
            f"{self.true_bot_visitor_count:,} recognised, "
            f"{self.people_taken_for_bots_count:,} people taken for bots",
            f"  persons: {self.persons.in_words()}",
        ]
        lines += [f"  {effect.in_words()}" for effect in self.effects]
        return "\n".join(lines)


def compare_with_truth(published: Path, shop: Path) -> TruthComparison:
    """Compares the release at `published` with `shop/truth`.

    Raises:
        InputError: there is no truth, or nothing is published yet.
    """
    truth = shop / "truth"
    if not (truth / "experiment.json").exists():
        raise InputError(f"{shop} holds no truth/; give what `nearline simulate` wrote")
    connection, release = open_release(published)
    connection.execute(
        "create view true_sessions as select visitor_id, started_at::timestamp as "
        "started_at, ended_at::timestamp as ended_at, event_count from "
        f"read_json('{truth}/sessions.jsonl.gz', format = 'newline_delimited')"
    )
    connection.execute(
        "create view true_bots as select visitor_id from "
        f"read_json('{truth}/bots.jsonl.gz', format = 'newline_delimited', "
        "columns = {visitor_id: 'varchar'})"
    )
    connection.execute(
        f"create view found as select * from {scan(release, 'fct_sessions')}"
    )

    def count(query: str) -> int:
        return int(connection.execute(query).fetchall()[0][0])

    seen_bots = "select visitor_id from true_bots semi join found using (visitor_id)"
    return TruthComparison(
        true_session_count=count("select count(*) from true_sessions"),
        found_session_count=count("select count(*) from found"),
        matching_session_count=count(
            "select count(*) from true_sessions semi join found "
            "using (visitor_id, started_at, ended_at, event_count)"
        ),
        true_bot_visitor_count=count(f"select count(*) from ({seen_bots})"),
        found_bot_visitor_count=count(
            "select count(distinct visitor_id) from found "
            "semi join true_bots using (visitor_id) where is_bot"
        ),
        people_taken_for_bots_count=count(
            "select count(distinct visitor_id) from found "
            "anti join true_bots using (visitor_id) where is_bot"
        ),
        persons=_compare_persons(connection, release, truth),
        effects=tuple(_compare_effects(connection, release, truth)),
    )


def _compare_persons(
    connection: "duckdb.DuckDBPyConnection", release: Path, truth: Path
) -> PersonComparison:
    """Counts pairs by groups of equals, so a person of n identifiers costs one row."""
    counts = connection.execute(
        f"""
        with true_persons as (
            select person_id, visitor_ids, user_id
            from read_json(
                '{truth}/persons.jsonl.gz', format = 'newline_delimited',
                columns = {{
                    person_id: 'varchar', visitor_ids: 'varchar[]', user_id: 'varchar'
                }}
            )
        ),
        provable as (
            select identifier, other_identifier as user_id
            from {scan(release, "fct_identity_links")}
            where identifier_type = 'visitor' and other_identifier_type = 'user'
        ),
        true_identifiers as (
            select person_id as true_id, 'visitor' as identifier_type,
                unnest(visitor_ids) as identifier, user_id
            from true_persons
            union all
            select person_id, 'user', user_id, user_id
            from true_persons where user_id is not null
        ),
        -- What is in no event of the release can be neither found nor missed.
        both_known as (
            select true_id, bridge.person_id as found_id,
                identifier_type = 'user'
                or (identifier, user_id) in (from provable) as is_provable
            from true_identifiers
            inner join {scan(release, "bridge_identities")} as bridge
                using (identifier_type, identifier)
        ),
        group_sizes as (
            select 'true' as kind, count(*) as size from both_known group by true_id
            union all
            select 'provable', count(*) from both_known where is_provable
            group by true_id
            union all
            select 'found', count(*) from both_known group by found_id
            union all
            select 'matching', count(*) from both_known group by true_id, found_id
        )
        select kind, sum(size * (size - 1) // 2)::bigint from group_sizes group by kind
        """
    ).fetchall()
    pairs = dict(counts)
    return PersonComparison(
        true_pair_count=pairs.get("true", 0),
        provable_pair_count=pairs.get("provable", 0),
        found_pair_count=pairs.get("found", 0),
        matching_pair_count=pairs.get("matching", 0),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _compare_effects(
    connection: "duckdb.DuckDBPyConnection", release: Path, truth: Path
) -> list[EffectComparison]:
    made = json.loads((truth / "experiment.json").read_text())
    found = {
        metric: (estimate, low, high)
        for metric, estimate, low, high in connection.execute(
            "select metric_name, estimate, ci_low, ci_high "
            f"from {scan(release, 'fct_experiment_results')} "
            "where experiment_key = ?",
            [made["experiment_key"]],
        ).fetchall()
    }
    return [
        EffectComparison(metric, effect, *found.get(metric, (None, None, None)))
        for metric, effect in made["true_effects"].items()
    ]

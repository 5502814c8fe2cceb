"""Whether what apps were served is what the tables say: the verdict on `ops_parity`.

Not here: the comparison itself, which is the dbt model.
"""

from dataclasses import dataclass
from pathlib import Path

from nearline.publication.tables import scan

_MOST_FEATURES_NAMED = 20


@dataclass(frozen=True, slots=True)
class FeatureParity:
    """A feature at one speed over all days that are kept; counts are of values."""

    view_name: str
    feature: str
    speed: str
    compared_count: int
    mismatched_count: int
    missing_count: int
    extra_count: int
    max_difference: float | None

    @property
    def wrong_count(self) -> int:
        return self.mismatched_count + self.missing_count + self.extra_count

    def in_words(self) -> str:
        """One line that names the feature and what is wrong, never a value."""
        found = [
            f"{count:,} {word}"
            for count, word in (
                (self.mismatched_count, "mismatched"),
                (self.missing_count, "missing"),
                (self.extra_count, "extra"),
            )
            if count
        ]
        return (
            f"{self.view_name}, {self.feature} ({self.speed}): {', '.join(found)} "
            f"of {self.compared_count:,}"
            + (
                f", off by up to {self.max_difference:g}"
                if self.mismatched_count and self.max_difference
                else ""
            )
        )


@dataclass(frozen=True, slots=True)
class ParityVerdict:
    """What the served values come to; `broken` is worst first, empty where all is well."""

    compared_count: int
    pending_count: int
    wrong_count: int
    broken: tuple[FeatureParity, ...]

    @property
    def is_kept(self) -> bool:
        return not self.broken

    def in_words(self) -> str:
        """The verdict, and where it is bad what to do."""
        if self.broken:
            named = "; ".join(
                one.in_words() for one in self.broken[:_MOST_FEATURES_NAMED]
            )
            more = len(self.broken) - _MOST_FEATURES_NAMED
            return (
                f"values were served that the tables do not have: {named}"
                + (f"; and {more} features more" if more > 0 else "")
                + ". Once mended, or if the tables changed on purpose, set the var "
                "parity_judged_from in dbt_project.yml to that moment"
            )
        if self.compared_count == 0:
            return "no served value can be compared yet" + (
                f" ({self.pending_count:,} pending)" if self.pending_count else ""
            )
        return (
            f"{self.compared_count:,} served values compared, {self.wrong_count:,} of "
            "them wrong, which is within the limit"
            if self.wrong_count
            else f"all {self.compared_count:,} served values that can be compared are right"
        )


def judge_parity(release: Path) -> ParityVerdict:
    """Holds each feature of `release`'s ops_parity against the limit that it states."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            f"""
            select
                view_name,
                feature,
                speed,
                sum(served_count - pending_count)::bigint as compared_count,
                sum(mismatched_count)::bigint as mismatched_count,
                sum(missing_count)::bigint as missing_count,
                sum(extra_count)::bigint as extra_count,
                max(max_difference) as max_difference,
                sum(pending_count)::bigint as pending_count,
                min(max_mismatch_share) as max_mismatch_share
            from {scan(release, "ops_parity")}
            group by all
            order by all
            """
        ).fetchall()
    features = [FeatureParity(*row[:8]) for row in rows]
    broken = [
        one
        for one, row in zip(features, rows, strict=True)
        if one.wrong_count > row[9] * one.compared_count
    ]
    broken.sort(key=lambda one: -one.wrong_count / one.compared_count)
    return ParityVerdict(
        compared_count=sum(one.compared_count for one in features),
        pending_count=sum(row[8] for row in rows),
        wrong_count=sum(one.wrong_count for one in features),
        broken=tuple(broken),
    )

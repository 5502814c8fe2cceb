"""Who the visitors are: rule segments, clusters, and what tells them apart.

Not here: which rule or model puts a person into a segment.
"""

from collections.abc import Sequence

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import BarRow
from nearline.dashboards.queries import SegmentOverlap, SegmentSize
from nearline.dashboards.sections.figures import Figure, Table


def segments(sizes: Sequence[SegmentSize] | None) -> list[Figure]:
    """Rule segments with their primary part, then the clusters."""
    rules = [size for size in sizes or () if size.segment_kind == "rule"]
    clusters = [size for size in sizes or () if size.segment_kind == "cluster"]
    absent = "This release has no segments." if sizes is None else None
    rule_sentence = (
        "Persons in each rule segment now. A person may be in several; the dark part "
        "counts each person once, in the primary segment by priority."
    )
    cluster_sentence = (
        "Persons in each group that K-Means found in their behaviour. Each person is in "
        "one; outliers behave like nobody else. A group keeps its name from day to day."
    )
    figures = []
    if rules:
        primary_count = sum(size.primary_person_count for size in rules)
        figures.append(
            Figure(
                "rule-segments",
                "Rule segments",
                rule_sentence,
                charts.labelled_bars(
                    [
                        BarRow(
                            wording.name(size.segment),
                            size.person_count,
                            f"{wording.count(size.person_count)} "
                            f"({wording.count(size.primary_person_count)} primary)",
                            size.primary_person_count,
                            _part(size.primary_person_count, primary_count),
                        )
                        for size in rules
                    ],
                    unit="persons",
                    description="Persons in each rule segment",
                    names=("In the segment", "As primary segment"),
                ),
                (("pale", "all members"), ("bar", "as primary segment")),
                Table(
                    ("Segment", "Persons", "As primary segment"),
                    tuple(
                        (
                            wording.name(size.segment),
                            wording.count(size.person_count),
                            _part(size.primary_person_count, primary_count),
                        )
                        for size in rules
                    ),
                ),
            )
        )
    else:
        figures.append(
            Figure(
                "rule-segments",
                "Rule segments",
                rule_sentence,
                empty=absent or "Nobody is in a rule segment now.",
            )
        )
    if clusters:
        clustered_count = sum(size.person_count for size in clusters)
        figures.append(
            Figure(
                "clusters",
                "Clusters",
                cluster_sentence,
                charts.labelled_bars(
                    [
                        BarRow(
                            wording.name(size.segment),
                            size.person_count,
                            _part(size.person_count, clustered_count),
                        )
                        for size in clusters
                    ],
                    unit="persons, and share of all in a cluster",
                    description="Persons in each cluster",
                    names=("Persons", ""),
                ),
                table=Table(
                    ("Cluster", "Persons"),
                    tuple(
                        (
                            wording.name(size.segment),
                            _part(size.person_count, clustered_count),
                        )
                        for size in clusters
                    ),
                ),
            )
        )
    else:
        figures.append(
            Figure(
                "clusters",
                "Clusters",
                cluster_sentence,
                empty=absent or "No clusters were found in this data.",
            )
        )
    return figures


def segment_profiles(sizes: Sequence[SegmentSize] | None) -> Table | None:
    """What tells the segments apart, a row each; None without a segment."""
    if not sizes:
        return None
    return Table(
        ("Segment", "Sessions each", "Pages a session", "Purchases each"),
        tuple(
            (
                wording.name(size.segment),
                wording.decimal(size.sessions_per_person),
                wording.decimal(size.page_views_per_session),
                wording.decimal(size.purchases_per_person, 2),
            )
            for size in sizes
        ),
    )


def segment_overlaps(
    sizes: Sequence[SegmentSize] | None, overlaps: Sequence[SegmentOverlap]
) -> Table | None:
    """How many persons two rule segments share; None where none share anybody.

    Segments run from the largest to the smallest, down and across; each row says of its
    segment's members how many are in the other.
    """
    rules = [size for size in sizes or () if size.segment_kind == "rule"]
    shared = {
        frozenset((overlap.segment, overlap.other_segment)): overlap.person_count
        for overlap in overlaps
    }
    if not shared:
        return None
    return Table(
        ("Of the members of", *(wording.name(size.segment) for size in rules)),
        tuple(
            (
                wording.name(row.segment),
                *(
                    wording.UNKNOWN
                    if row is column
                    else _part(
                        shared.get(frozenset((row.segment, column.segment)), 0),
                        row.person_count,
                    )
                    for column in rules
                ),
            )
            for row in rules
        ),
    )


def _part(number: int, whole: int) -> str:
    if whole == 0:
        return wording.count(number)
    return f"{wording.count(number)} ({wording.percent(number / whole, 0)})"

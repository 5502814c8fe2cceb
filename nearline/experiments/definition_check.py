"""Whether the names in definitions belong to something: metrics, segments.

Belongs here: what a definition needs of the rest of the project. Not here: its form and its
own numbers (`definitions`), or whether it is still what ran (`journal`).
"""

from collections.abc import Collection, Iterable, Iterator

from nearline.experiments.definitions import ExperimentDefinition, Phase
from nearline.experiments.metrics import DECISION_LATENCY
from nearline.yaml_forms import FileProblem


def unknown_names(
    definitions: Iterable[ExperimentDefinition],
    metrics: Collection[str],
    segments: Collection[str],
) -> Iterator[FileProblem]:
    """Metrics and segments that there are not."""
    for definition in definitions:
        file = f"{definition.key}.yml"
        before: Phase | None = None
        for phase in definition.phases:
            place = (
                "metrics" if before is None else f"phases.{phase.number - 1}.metrics"
            )
            if before is None or _metrics_of(before) != _metrics_of(phase):
                for field, names in _metrics_of(phase):
                    more = {DECISION_LATENCY.name} if field == "guardrails" else set()
                    for name in names:
                        if name not in metrics and name not in more:
                            yield FileProblem(
                                file,
                                f"{place}.{field}",
                                _no_such("metric", name, metrics),
                            )
            before = phase
        for name in definition.eligibility.segments:
            if name not in segments:
                yield FileProblem(
                    file, "eligibility.segments", _no_such("segment", name, segments)
                )


def _metrics_of(phase: Phase) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("primary", (phase.primary_metric,)),
        ("secondary", phase.metrics),
        ("guardrails", tuple(phase.guardrails)),
    )


def _no_such(what: str, name: str, known: Collection[str]) -> str:
    there = ", ".join(sorted(known)) or "none"
    return f"there is no {what} {name}; there are {there}"

"""A page for each experiment of a release, and one that lists them all.

Belongs here: which pages there are, and writing them. Not here: what a page says
(`sections.experiment`), or who was exposed and what came of it (`nearline.experiments`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.dashboards import wording
from nearline.dashboards.document import render_document
from nearline.dashboards.queries import Manifest, read_manifest
from nearline.dashboards.sections.comparison import currency_word
from nearline.dashboards.sections.experiment import (
    ExperimentPage,
    experiment_page,
    with_labels,
)
from nearline.dashboards.sections.experiments import page_name
from nearline.errors import InputError
from nearline.experiments.conclusion import describe_change
from nearline.experiments.decision_record import ExperimentDecision
from nearline.experiments.definitions import ExperimentDefinition
from nearline.experiments.metrics import load_metrics
from nearline.experiments.registry import Registered, load_registry
from nearline.experiments.warehouse_experiment import Analysis
from nearline.experiments.warehouse_results import analyse_all
from nearline.publication.tables import open_release, scan, table_path
from nearline.replacement import replace_file
from nearline.settings import Settings

if TYPE_CHECKING:
    import duckdb

FOLDER = "experiments"
_NEEDED = (
    "fct_exposures",
    "fct_experiment_metrics",
    "fct_experiment_days",
    "fct_experiment_segments",
    "fct_experiment_values",
    "fct_decisions",
)


@dataclass(frozen=True, slots=True)
class ReleasedExperiments:
    """The experiments of a release, analysed, and the registry as it stood then."""

    manifest: Manifest
    analyses: tuple[Analysis, ...]
    registered: Mapping[str, Registered] = field(default_factory=dict)
    problem: str | None = None
    """Why the definitions could not be read: then none is followed."""
    currencies: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    title: str
    state: str
    hypothesis: str | None
    page: str | None
    terms: tuple[tuple[str, str], ...]


def read_experiments(settings: Settings) -> ReleasedExperiments:
    """Analyse the published release's experiments as their definitions ask.

    As of the data, not of the clock: one release always says the same. InputError where
    nothing is published, or by a version that did not measure experiments so.
    """
    connection, release = open_release(settings.published)
    with connection:
        return _read(settings, connection, release)


def _read(
    settings: Settings, connection: "duckdb.DuckDBPyConnection", release: Path
) -> ReleasedExperiments:
    for table in _NEEDED:
        if not table_path(release, table).exists():
            raise InputError(
                f"release {release.name} has no table {table}; run `nearline run`"
            )
    manifest = read_manifest(release)
    moment = manifest.data_up_to or datetime(1970, 1, 1, tzinfo=UTC)
    now = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    registered: Mapping[str, Registered] = {}
    problem = None
    try:
        registered = load_registry(settings, now)
    except InputError as error:
        problem = str(error)
    analyses = analyse_all(
        connection,
        lambda table: scan(release, table),
        load_metrics(settings.dbt_project),
        {key: one.definition for key, one in registered.items()},
        now,
    )
    currencies = tuple(
        row[0]
        for row in connection.execute(
            f"select distinct currency from {scan(release, 'fct_orders')} "
            "where not coalesce(is_bot, false) and revenue_cents > 0 order by 1"
        ).fetchall()
    )
    return ReleasedExperiments(
        manifest, tuple(analyses), registered, problem, currencies
    )


def can_be_built(settings: Settings) -> bool:
    """Whether the release has what pages of experiments are made of."""
    release = settings.published.resolve()
    return all(table_path(release, table).exists() for table in _NEEDED)


def build_experiment_pages(
    settings: Settings, released: ReleasedExperiments | None = None
) -> tuple[Path, ...]:
    """Write `site/experiments/`, the list first, each page in one step."""
    released = released or read_experiments(settings)
    folder = settings.site / FOLDER
    pages = [(folder / "index.html", render_list(released))]
    pages += [
        (
            folder / page_name(analysis.tables.key),
            render_experiment(analysis, released),
        )
        for analysis in released.analyses
    ]
    for path, html in pages:
        encoded = html.encode()
        replace_file(path, lambda file, content=encoded: file.write(content))  # type: ignore[misc]
    return tuple(path for path, _ in pages)


def page_of(analysis: Analysis, released: ReleasedExperiments) -> ExperimentPage:
    """What the page of an analysis says."""
    known = released.registered.get(analysis.tables.key)
    decision = None if known is None else known.decision
    return experiment_page(
        analysis,
        currency_word(released.currencies),
        None if decision is None else _decision_words(decision),
    )


def render_experiment(analysis: Analysis, released: ReleasedExperiments) -> str:
    """The page of one experiment as HTML."""
    page = page_of(analysis, released)
    return render_document(
        "experiment.html.j2",
        page=page,
        release_id=released.manifest.release_id,
        data_up_to=wording.moment(released.manifest.data_up_to),
        specifications={
            figure.id: figure.specification
            for figure in page.figures
            if figure.specification is not None
        },
    )


def render_list(released: ReleasedExperiments) -> str:
    """All experiments, those that are defined and those that ran, as HTML."""
    analyses = {one.tables.key: one for one in released.analyses}
    rows = [
        _row(key, analyses.get(key), released.registered.get(key))
        for key in sorted({*analyses, *released.registered})
    ]
    order = ("running", "over", "waiting", "draft", "shipped", "stopped")
    rows.sort(key=lambda row: order.index(row.state) if row.state in order else 0)
    notes = []
    if released.problem is not None:
        notes.append(
            f"Definitions cannot be read, and none is followed: {released.problem}"
        )
    return render_document(
        "experiments.html.j2",
        facts=_counted(rows),
        notes=notes,
        rows=rows,
        release_id=released.manifest.release_id,
        data_up_to=wording.moment(released.manifest.data_up_to),
    )


def _counted(rows: Sequence[_Row]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    parts = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = wording.plural(len(rows), "experiment")
    return f"{total}: {parts}." if rows else "None yet."


def _row(key: str, analysis: Analysis | None, known: Registered | None) -> _Row:
    definition = None if known is None else known.definition
    terms: list[tuple[str, str]] = []
    if known is not None and known.decision is not None:
        terms.append(("Decided", _decision_words(known.decision)))
        terms += [("What was learnt", line) for line in _learnt(known.decision)]
    if definition is not None:
        terms += [("Owner", definition.owner), ("Ran", _times(definition))]
    if analysis is not None:
        terms += _result_terms(analysis)
    return _Row(
        key,
        wording.name(key),
        "ran without a definition" if known is None else known.standing.state,
        None if definition is None else definition.hypothesis,
        None if analysis is None else page_name(key),
        tuple(terms),
    )


def _result_terms(analysis: Analysis) -> list[tuple[str, str]]:
    primary = analysis.answer.primary_metric
    labels = {metric.name: metric.label for metric in analysis.metrics}
    level = analysis.question.horizon.confidence_level
    terms = [
        (labels[result.metric], f"{result.variant}: {describe_change(result, level)}")
        for result in analysis.answer.results
        if result.metric == primary and result.ci_low is not None
    ]
    sentence = with_labels(analysis.conclusion.sentence, analysis.metrics)
    return [*terms, ("Verdict", f"{sentence[0].upper()}{sentence[1:]}.")]


def _times(definition: ExperimentDefinition) -> str:
    if definition.starts_at is None:
        return "not yet"
    stops = definition.stops_at
    until = "on" if stops is None else f"to {wording.day(stops, True)}"
    return f"from {wording.day(definition.starts_at, True)} {until}"


def _decision_words(decision: ExperimentDecision) -> str:
    what = (
        "stopped" if decision.variant is None else f"{decision.variant} for everybody"
    )
    return (
        f"{wording.day(decision.decided_at, True)}, by {decision.by}: {what}. "
        f"{decision.why}"
    )


def _learnt(decision: ExperimentDecision) -> list[str]:
    return [
        f"{wording.name(finding.metric)}, {finding.variant}: {finding.verdict}"
        for finding in decision.findings
    ]

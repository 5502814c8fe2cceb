"""Data health: freshness and origin, checks, quarantine.

Belongs here: whether the other sections can be trusted. Not here: any check itself;
what came late (`lateness`), what apps were served (`parity`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import BarRow
from nearline.dashboards.queries import Check, PageData, QuarantinedRows
from nearline.dashboards.sections import lateness, parity
from nearline.dashboards.sections.figures import Figure, Table

MOST_REASONS_SHOWN = 8
MOST_CHECKS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class UnpassedCheck:
    """One check that did not pass, in words."""

    title: str
    badge: str
    tone: str
    detail: str


@dataclass(frozen=True, slots=True)
class ChecksView:
    """What the checks of the release found; errored is not failed."""

    sentence: str
    counts: tuple[tuple[str, str, bool], ...] = ()
    unpassed: tuple[UnpassedCheck, ...] = ()
    unshown_count: int = 0
    empty: str | None = None


def freshness(data: PageData) -> list[tuple[str, str]]:
    """Where the tables come from and how old they are."""
    manifest = data.manifest
    rows = [
        ("Data up to", wording.moment(manifest.data_up_to)),
        ("Built", wording.moment(manifest.created_at)),
        ("From release", manifest.release_id),
        ("Code version", manifest.code_version or "not recorded"),
    ]
    if manifest.landings:
        last = ", ".join(
            f"{name} up to {number}" for name, number in manifest.landings.items()
        )
        rows.append(("Landings", last))
    if data.event_count is not None:
        rows.append(("Events accepted", wording.count(data.event_count)))
    person_session_count = data.session_count - data.bot_session_count
    sessions = (
        f"{wording.count(person_session_count)} of persons; "
        f"{wording.count(data.bot_session_count)} of bots, left out"
    )
    rows.append(("Sessions", sessions))
    if data.consent_event_counts:
        said = "; ".join(
            f"{wording.count(number)} events {basis}"
            for basis, number in data.consent_event_counts.items()
        )
        rows.append(("Basis of consent", said))
    return rows


def checks_view(checks: Sequence[Check] | None) -> ChecksView:
    """Counts by outcome and each check that did not pass."""
    sentence = (
        "Checks that read this release before it was published. Failed: the data is "
        "not as it must be. Errored: the check itself could not run."
    )
    if not checks:
        return ChecksView(
            sentence, empty="No check results were recorded for this release."
        )
    outcomes = Counter(check.status for check in checks)
    known = ("passed", "failed", "errored")
    counts = [
        (
            wording.count(outcomes[status]),
            status,
            status != "passed" and outcomes[status] > 0,
        )
        for status in known
    ]
    counts += [
        (wording.count(number), status, True)
        for status, number in sorted(outcomes.items())
        if status not in known
    ]
    unpassed = [check for check in checks if check.status != "passed"]
    unpassed.sort(
        key=lambda check: (check.severity != "block", check.table, check.check)
    )
    shown = unpassed[:MOST_CHECKS_SHOWN]
    return ChecksView(
        sentence,
        tuple(counts),
        tuple(_unpassed_check(check) for check in shown),
        len(unpassed) - len(shown),
    )


def _unpassed_check(check: Check) -> UnpassedCheck:
    is_blocking = check.severity == "block"
    names_its_table = check.message.startswith(check.table) or not check.message
    detail = (
        check.message or check.table
        if names_its_table
        else f"{check.table}: {check.message}"
    )
    words = check.status if is_blocking else f"{check.status}, {check.severity} only"
    return UnpassedCheck(
        title=check.check,
        badge=words,
        tone="is-alarm" if is_blocking else "",
        detail=detail,
    )


def health(data: PageData) -> list[Figure]:
    """Quarantine by reason, what came late, and whether what was served is right."""
    return [
        _quarantine_figure(data),
        *lateness.lateness(data),
        *parity.parity(data),
    ]


def _quarantine_figure(data: PageData) -> Figure:
    key, title = "quarantine", "Quarantine"
    sentence = "Rows that broke the event contract and are in no figure, by reason."
    if data.quarantined is None:
        return Figure(
            key, title, sentence, empty="This release has no quarantine table."
        )
    if not data.quarantined:
        return Figure(key, title, sentence, empty="No row was quarantined.")
    row_count = sum(row.open_count for row in data.quarantined)
    replayed_count = sum(row.replayed_count for row in data.quarantined)
    if data.event_count is not None:
        share = row_count / (row_count + data.event_count or 1)
        sentence += (
            f" {wording.plural(row_count, 'row')}, {wording.percent(share, 2)} of all."
        )
    if replayed_count:
        sentence += (
            f" {wording.plural(replayed_count, 'other row')} mended and replayed."
        )
    return Figure(
        key,
        title,
        sentence,
        charts.labelled_bars(
            [
                BarRow(reason, number, f"{wording.count(number)}")
                for reason, number in _open_by_reason(data.quarantined)
            ],
            unit="rows",
            description="Quarantined rows by reason",
            names=("Rows", ""),
        ),
        table=Table(
            ("Reason", "Source", "Found at", "Rows", "Replayed"),
            tuple(
                (
                    _reason(row),
                    row.source or "unknown",
                    row.stage,
                    wording.count(row.row_count),
                    wording.count(row.replayed_count),
                )
                for row in data.quarantined[:MOST_CHECKS_SHOWN]
            ),
            (1, 2),
        ),
    )


def _reason(row: QuarantinedRows) -> str:
    return f"{row.field}: {row.reason}" if row.field else row.reason


def _open_by_reason(quarantined: Sequence[QuarantinedRows]) -> list[tuple[str, int]]:
    """Rows that nobody mended yet, the most frequent reason first, the rest in one."""
    by_reason: Counter[str] = Counter()
    for row in quarantined:
        by_reason[_reason(row)] += row.open_count
    ranked = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked[:MOST_REASONS_SHOWN]
    if len(ranked) > len(shown):
        others = ranked[len(shown) :]
        shown.append(
            (f"{len(others)} other reasons", sum(number for _, number in others))
        )
    return shown

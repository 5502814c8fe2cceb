"""What the page reads of a release: DuckDB over its Parquet, small records out.

Belongs here: SQL on published tables, the manifest, the check results. Not here: how
any of it is drawn or said. A table that a release does not have reads as None, an
empty one as no rows: the page says which of the two it is.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from nearline.dashboards.periods import Periods, choose_periods
from nearline.dashboards.statistics import CURRENT, PREVIOUS, PersonMoments
from nearline.errors import InputError
from nearline.experiments.statistics import SufficientStatistics
from nearline.publication.tables import scan

REQUIRED_TABLES = ("fct_daily_metrics", "fct_sessions")
NO_SEGMENT = "none"

# Column of `fct_sessions` behind each measure that is summed per person.
_PERSON_MEASURES: Mapping[str, str] = {
    "sessions": "1",
    "converted": "cast(purchase_count > 0 as integer)",
    "bounced": "cast(is_bounce as integer)",
    "measured": "cast(is_bounce is not null as integer)",
    "scored": "cast(engagement_score is not null as integer)",
    "score": "coalesce(engagement_score, 0)",
    "revenue": "coalesce(revenue_cents, 0)",
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where the tables come from; None where the manifest does not say."""

    release_id: str
    created_at: datetime | None
    code_version: str | None
    data_up_to: datetime | None
    landings: Mapping[str, str]
    """Last landing that is in the tables, by format of the files."""


@dataclass(frozen=True, slots=True)
class DayMetrics:
    """One row per day, bots apart; a day without sessions has zero counts."""

    day: date
    session_count: int = 0
    converted_session_count: int = 0
    bounced_session_count: int = 0
    measured_session_count: int = 0
    """Sessions of which it is known whether they bounced."""
    revenue_cents: int = 0
    engaged_seconds: float = 0.0
    engagement_score_sum: float | None = None
    engagement_scores: SufficientStatistics = field(
        default_factory=SufficientStatistics
    )
    """Of the single sessions: what the day's interval needs."""


@dataclass(frozen=True, slots=True)
class SegmentSize:
    """One row per segment as of today: who is in it and what they do."""

    segment: str
    segment_kind: str
    person_count: int
    primary_person_count: int
    sessions_per_person: float | None
    page_views_per_session: float | None
    purchases_per_person: float | None


@dataclass(frozen=True, slots=True)
class SegmentOverlap:
    """One row per pair of rule segments, by name, that share somebody as of today."""

    segment: str
    other_segment: str
    person_count: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One row per variant."""

    variant_key: str
    unit_count: int


@dataclass(frozen=True, slots=True)
class Result:
    """One row per metric and variant other than the control."""

    metric_name: str
    metric_kind: str
    variant_key: str
    control_variant_key: str
    unit_count: int
    control_unit_count: int
    variant_mean: float | None
    control_mean: float | None
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    confidence_level: float
    relative_lift: float | None
    relative_ci_low: float | None
    relative_ci_high: float | None
    has_srm_alarm: bool
    verdict: str
    role: str | None = None
    """`primary`, `guardrail` or `secondary`; None in a release of before."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One row per experiment with an exposure or a result."""

    experiment_key: str
    arms: tuple[Arm, ...]
    results: tuple[Result, ...]
    contaminated_unit_count: int = 0
    """Units that saw more than one variant."""
    first_exposed_at: datetime | None = None
    last_exposed_at: datetime | None = None
    has_page: bool = False
    """Whether the release has what a page of its own is made of."""


@dataclass(frozen=True, slots=True)
class QuarantinedRows:
    """One row per reason, field, source and stage."""

    reason: str
    field: str | None
    source: str | None
    stage: str
    row_count: int
    replayed_count: int = 0
    """Rows that were mended and sent again, and are in the other figures."""

    @property
    def open_count(self) -> int:
        return self.row_count - self.replayed_count


@dataclass(frozen=True, slots=True)
class Lateness:
    """One row per bucket of arrival delay, shortest first."""

    delay_bucket: str
    event_count: int
    late_event_count: int


@dataclass(frozen=True, slots=True)
class LateDay:
    """One row per source and day on which things happened, bots included."""

    source: str
    day: date
    event_count: int
    late_event_count: int
    session_count: int
    measured_session_count: int
    """Sessions that idle time cuts: the only ones that can be re-opened or split."""
    reopened_session_count: int
    split_session_count: int
    session_too_long_event_count: int
    created_too_long_before_sent_event_count: int
    late_after_minutes: int
    session_gap_minutes: int


@dataclass(frozen=True, slots=True)
class ServedDay:
    """One row per day of serving, view, feature and speed; counts are of values."""

    day: date
    view_name: str
    feature: str
    speed: str
    served_count: int
    mismatched_count: int
    missing_count: int
    extra_count: int
    pending_count: int
    max_difference: float | None

    @property
    def compared_count(self) -> int:
        return self.served_count - self.pending_count

    @property
    def wrong_count(self) -> int:
        return self.mismatched_count + self.missing_count + self.extra_count


@dataclass(frozen=True, slots=True)
class Check:
    """One check that read the release before it was published."""

    table: str
    check: str
    severity: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class PageData:
    """All that the page says. None: the release has no such table."""

    manifest: Manifest
    periods: Periods | None
    days: tuple[DayMetrics, ...]
    """Every day of both periods, in order."""
    moments: PersonMoments | None
    currencies: tuple[str | None, ...]
    """Of the orders in both periods; None: an order that does not state one."""
    bot_session_count: int
    session_count: int
    """All sessions of the release, bots included."""
    segments: tuple[SegmentSize, ...] | None
    segment_overlaps: tuple[SegmentOverlap, ...]
    experiments: tuple[Experiment, ...] | None
    quarantined: tuple[QuarantinedRows, ...] | None
    lateness: tuple[Lateness, ...] | None
    late_days: tuple[LateDay, ...] | None
    """Of both periods, by day and source."""
    served_days: tuple[ServedDay, ...] | None
    """All that are kept, whatever period the page shows: serving goes on after the data."""
    consent_event_counts: Mapping[str, int] | None
    """Events by consent basis ('stated', 'assumed')."""
    event_count: int | None
    checks: tuple[Check, ...] | None


def read_page_data(release_dir: Path, quality: Path) -> PageData:
    """Read a release, and what its checks found, once and entirely.

    Raises InputError where the folder is no release or lacks `REQUIRED_TABLES`.
    """
    if not release_dir.is_dir():
        raise InputError(
            "nothing is published yet; run `nearline run` before `nearline dashboards`"
        )
    for table in REQUIRED_TABLES:
        if not _is_there(release_dir, table):
            raise InputError(
                f"release {release_dir.name} has no table {table}; "
                "run `nearline run` to publish a whole one"
            )
    manifest = read_manifest(release_dir)
    with _connection() as connection:
        tables = _Tables(connection, release_dir)
        periods = choose_periods(_days_with_sessions(tables), manifest.data_up_to)
        bot_session_count, session_count = _session_counts(tables)
        return PageData(
            manifest=manifest,
            periods=periods,
            days=_days(tables, periods) if periods else (),
            moments=_moments(tables, periods) if periods else None,
            currencies=_currencies(tables, periods) if periods else (),
            bot_session_count=bot_session_count,
            session_count=session_count,
            segments=_segments(tables),
            segment_overlaps=_segment_overlaps(tables),
            experiments=_experiments(tables),
            quarantined=_quarantined(tables),
            lateness=_lateness(tables),
            late_days=_late_days(tables, periods),
            served_days=_served_days(tables),
            consent_event_counts=_consent(tables),
            event_count=_event_count(tables),
            checks=read_checks(quality / manifest.release_id / "checks.json"),
        )


def read_manifest(release_dir: Path) -> Manifest:
    """The release's `manifest.json`; what it does not say is None."""
    stated = _json_object(release_dir / "manifest.json") or {}
    landings = stated.get("landings")
    return Manifest(
        release_id=str(stated.get("release_id") or release_dir.name),
        created_at=_moment(stated.get("created_at")),
        code_version=_text(stated.get("code_version")),
        data_up_to=_moment(stated.get("data_up_to")),
        landings={str(name): str(last) for name, last in landings.items()}
        if isinstance(landings, dict)
        else {},
    )


def read_checks(path: Path) -> tuple[Check, ...] | None:
    """The checks of a release, or None where none were recorded."""
    stated = _json_object(path)
    if stated is None or not isinstance(stated.get("checks"), list):
        return None
    return tuple(
        Check(
            table=_text(check.get("table")) or "",
            check=_text(check.get("check")) or "",
            severity=_text(check.get("severity")) or "",
            status=_text(check.get("status")) or "unknown",
            message=_text(check.get("message")) or "",
        )
        for check in stated["checks"]
        if isinstance(check, dict)
    )


@dataclass(frozen=True, slots=True)
class _Tables:
    connection: duckdb.DuckDBPyConnection
    release_dir: Path

    def has(self, table: str) -> bool:
        return _is_there(self.release_dir, table)

    def scan(self, table: str) -> str:
        return scan(self.release_dir, table)

    def rows(
        self, query: str, parameters: Sequence[object] | None = None
    ) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, parameters)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    # No extension is ever fetched: a missing one has to fail here, not on a network.
    connection = duckdb.connect(
        config={"TimeZone": "UTC", "autoinstall_known_extensions": "false"}
    )
    try:
        yield connection
    finally:
        connection.close()


def _is_there(release_dir: Path, table: str) -> bool:
    path = release_dir / f"{table}.parquet"
    return path.is_file() or any(path.glob("*/*.parquet"))


def _days_with_sessions(tables: _Tables) -> list[date]:
    rows = tables.rows(
        f"""
        select metric_date
        from {tables.scan("fct_daily_metrics")}
        where session_count > 0
        group by metric_date
        """
    )
    return [row["metric_date"] for row in rows]


def _session_counts(tables: _Tables) -> tuple[int, int]:
    (row,) = tables.rows(
        f"""
        select
            count(*) filter (where is_bot) as bot_session_count,
            count(*) as session_count,
        from {tables.scan("fct_sessions")}
        """
    )
    return row["bot_session_count"], row["session_count"]


def _days(tables: _Tables, periods: Periods) -> tuple[DayMetrics, ...]:
    shown = [periods.previous, periods.current] if periods.previous else []
    days = [
        day for period in shown or [periods.current] for day in period.days if period
    ]
    rows = tables.rows(
        f"""
        with daily as (
            select
                metric_date as day,
                sum(session_count)::bigint as session_count,
                sum(converted_session_count)::bigint as converted_session_count,
                sum(bounced_session_count)::bigint as bounced_session_count,
                coalesce(sum(revenue_cents), 0)::bigint as revenue_cents,
                coalesce(sum(engaged_seconds), 0)::double as engaged_seconds,
                sum(engagement_score_sum)::double as engagement_score_sum,
            from {tables.scan("fct_daily_metrics")}
            where metric_date between $1 and $2
            group by metric_date
        ),

        scores as (
            select
                session_date as day,
                count(is_bounce) as measured_session_count,
                count(engagement_score) as score_count,
                coalesce(sum(engagement_score), 0)::double as score_sum,
                coalesce(sum(engagement_score * engagement_score), 0)::double
                    as score_sum_squares,
            from {tables.scan("fct_sessions")}
            where not coalesce(is_bot, false) and session_date between $1 and $2
            group by session_date
        )

        select
            daily.*,
            coalesce(measured_session_count, 0) as measured_session_count,
            coalesce(score_count, 0) as score_count,
            coalesce(score_sum, 0) as score_sum,
            coalesce(score_sum_squares, 0) as score_sum_squares,
        from daily
        left join scores using (day)
        """,
        [days[0], days[-1]],
    )
    by_day = {
        row["day"]: DayMetrics(
            day=row["day"],
            session_count=row["session_count"],
            converted_session_count=row["converted_session_count"],
            bounced_session_count=row["bounced_session_count"],
            measured_session_count=row["measured_session_count"],
            revenue_cents=row["revenue_cents"],
            engaged_seconds=row["engaged_seconds"],
            engagement_score_sum=row["engagement_score_sum"],
            engagement_scores=SufficientStatistics(
                row["score_count"], row["score_sum"], row["score_sum_squares"]
            ),
        )
        for row in rows
    }
    return tuple(by_day.get(day, DayMetrics(day)) for day in days)


def _moments(tables: _Tables, periods: Periods) -> PersonMoments | None:
    if periods.previous is None:
        return None
    measures = [
        (name, period) for name in _PERSON_MEASURES for period in (CURRENT, PREVIOUS)
    ]
    sums = ",\n".join(
        f"coalesce(sum({_PERSON_MEASURES[name]}) filter (where period = '{period}'), 0)"
        f"::double as {name}_{period}"
        for name, period in measures
    )
    pairs = [
        (one, other) for index, one in enumerate(measures) for other in measures[index:]
    ]
    totals = ", ".join(
        f"coalesce(sum({name}_{period}), 0)" for name, period in measures
    )
    products = ", ".join(
        f"coalesce(sum({'_'.join(one)} * {'_'.join(other)}), 0)" for one, other in pairs
    )
    query = f"""
        with sessions_in_periods as (
            select
                *,
                case when session_date >= $2 then '{CURRENT}' else '{PREVIOUS}' end
                    as period,
            from {tables.scan("fct_sessions")}
            where
                not coalesce(is_bot, false)
                and session_date between $1 and $3
        ),

        persons as (
            select {sums}
            from sessions_in_periods
            group by coalesce(person_id, session_id)
        )

        select count(*), {totals}, {products}
        from persons
        """
    row = tables.connection.execute(
        query, [periods.previous.first, periods.current.first, periods.current.last]
    ).fetchall()[0]
    numbers = [float(number) for number in row[1:]]
    return PersonMoments(
        person_count=int(row[0]),
        totals=dict(zip(measures, numbers, strict=False)),
        products=dict(zip(pairs, numbers[len(measures) :], strict=True)),
    )


def _currencies(tables: _Tables, periods: Periods) -> tuple[str | None, ...]:
    if not tables.has("fct_orders"):
        return ()
    first = (periods.previous or periods.current).first
    rows = tables.rows(
        f"""
        select currency
        from {tables.scan("fct_orders")}
        where
            not coalesce(is_bot, false)
            -- The page's revenue is that of sessions.
            and session_id is not null
            and order_date between $1 and $2
            and coalesce(revenue_cents, 0) <> 0
        group by currency
        order by currency nulls last
        """,
        [first, periods.current.last],
    )
    return tuple(row["currency"] for row in rows)


def _segments(tables: _Tables) -> tuple[SegmentSize, ...] | None:
    if not tables.has("fct_segments"):
        return None
    rows = tables.rows(
        f"""
        with members as (
            select segment, segment_kind, person_id, bool_or(is_primary) as is_primary
            from {tables.scan("fct_segments")}
            where is_current and segment_kind in ('rule', 'cluster')
            group by segment, segment_kind, person_id
        ),

        persons as (
            select
                person_id,
                count(*) as session_count,
                sum(page_view_count) as page_view_count,
                sum(purchase_count) as purchase_count,
            from {tables.scan("fct_sessions")}
            where not coalesce(is_bot, false)
            group by person_id
        )

        select
            segment,
            segment_kind,
            count(*) as person_count,
            count(*) filter (where is_primary) as primary_person_count,
            (sum(session_count) / count(*))::double as sessions_per_person,
            (sum(page_view_count) / nullif(sum(session_count), 0))::double
                as page_views_per_session,
            (sum(purchase_count) / count(*))::double as purchases_per_person,
        from members
        left join persons using (person_id)
        group by segment, segment_kind
        order by segment_kind desc, person_count desc, segment
        """
    )
    return tuple(SegmentSize(**row) for row in rows)


def _segment_overlaps(tables: _Tables) -> tuple[SegmentOverlap, ...]:
    if not tables.has("fct_segments"):
        return ()
    rows = tables.rows(
        f"""
        with members as (
            select distinct segment, person_id
            from {tables.scan("fct_segments")}
            where is_current and segment_kind = 'rule'
        )

        select
            members.segment,
            others.segment as other_segment,
            count(*) as person_count,
        from members
        inner join members as others
            on
                members.person_id = others.person_id
                and members.segment < others.segment
        group by members.segment, others.segment
        order by members.segment, others.segment
        """
    )
    return tuple(SegmentOverlap(**row) for row in rows)


def _experiments(tables: _Tables) -> tuple[Experiment, ...] | None:
    if not tables.has("fct_experiment_results"):
        return None
    results: dict[str, list[Result]] = {}
    columns = ", ".join(Result.__slots__)
    for row in tables.rows(
        f"""
        select experiment_key, {columns}
        from (
            -- Releases of earlier versions lack this column.
            select null::varchar as role where false
            union all by name
            select * from {tables.scan("fct_experiment_results")}
        )
        order by experiment_key, metric_name, variant_key
        """
    ):
        results.setdefault(row.pop("experiment_key"), []).append(Result(**row))
    arms: dict[str, tuple[Arm, ...]] = {}
    exposed: dict[str, dict[str, Any]] = {}
    if tables.has("fct_exposures"):
        for row in tables.rows(
            f"""
            select
                experiment_key,
                count(distinct unit_id) filter (where variant_count > 1)
                    as contaminated_unit_count,
                min(exposed_at) as first_exposed_at,
                max(exposed_at) as last_exposed_at,
            from {tables.scan("fct_exposures")}
            group by experiment_key
            """
        ):
            exposed[row.pop("experiment_key")] = row
        for row in tables.rows(
            f"""
            select experiment_key, variant_key, count(distinct unit_id) as unit_count
            from {tables.scan("fct_exposures")}
            group by experiment_key, variant_key
            order by experiment_key, variant_key
            """
        ):
            key = row.pop("experiment_key")
            arms[key] = (*arms.get(key, ()), Arm(**row))
    return tuple(
        Experiment(
            key,
            arms.get(key, ()),
            tuple(results.get(key, ())),
            has_page=tables.has("fct_experiment_days"),
            **exposed.get(key, {}),
        )
        for key in sorted({*arms, *results})
    )


def _quarantined(tables: _Tables) -> tuple[QuarantinedRows, ...] | None:
    if not tables.has("ops_quarantine"):
        return None
    rows = tables.rows(
        f"""
        select
            coalesce(reason, 'no reason recorded') as reason,
            field,
            source,
            coalesce(quarantined_stage, 'unknown') as stage,
            count(*) as row_count,
            count(replayed_at) as replayed_count,
        from (
            -- Releases of earlier versions lack these columns.
            select null::varchar as source, null::timestamp as replayed_at where false
            union all by name
            select * from {tables.scan("ops_quarantine")}
        )
        group by all
        order by row_count desc, reason, field, source, stage
        """
    )
    return tuple(QuarantinedRows(**row) for row in rows)


def _lateness(tables: _Tables) -> tuple[Lateness, ...] | None:
    if not tables.has("ops_lateness"):
        return None
    rows = tables.rows(
        f"""
        select
            delay_bucket,
            sum(event_count)::bigint as event_count,
            coalesce(sum(event_count) filter (where is_late), 0)::bigint
                as late_event_count,
        from {tables.scan("ops_lateness")}
        group by delay_bucket
        order by delay_bucket
        """
    )
    return tuple(Lateness(**row) for row in rows)


def _late_days(tables: _Tables, periods: Periods | None) -> tuple[LateDay, ...] | None:
    if not tables.has("ops_lateness_daily"):
        return None
    if periods is None:
        return ()
    columns = ", ".join(name for name in LateDay.__slots__ if name != "day")
    rows = tables.rows(
        f"""
        select occurred_date as day, {columns}
        from {tables.scan("ops_lateness_daily")}
        where occurred_date between $1 and $2
        order by day, source
        """,
        [(periods.previous or periods.current).first, periods.current.last],
    )
    return tuple(LateDay(**row) for row in rows)


def _served_days(tables: _Tables) -> tuple[ServedDay, ...] | None:
    if not tables.has("ops_parity"):
        return None
    columns = ", ".join(name for name in ServedDay.__slots__ if name != "day")
    rows = tables.rows(
        f"""
        select served_date as day, {columns}
        from {tables.scan("ops_parity")}
        order by day, view_name, feature, speed
        """
    )
    return tuple(ServedDay(**row) for row in rows)


def _consent(tables: _Tables) -> Mapping[str, int] | None:
    if not tables.has("ops_collection_audit"):
        return None
    rows = tables.rows(
        f"""
        select
            coalesce(consent_basis, 'unknown') as consent_basis,
            sum(event_count)::bigint as event_count,
        from {tables.scan("ops_collection_audit")}
        group by all
        order by consent_basis
        """
    )
    return {row["consent_basis"]: row["event_count"] for row in rows}


def _event_count(tables: _Tables) -> int | None:
    if not tables.has("fct_events"):
        return None
    (row,) = tables.rows(
        f"select count(*) as event_count from {tables.scan('fct_events')}"
    )
    return int(row["event_count"])


def _json_object(path: Path) -> dict[str, Any] | None:
    try:
        stated = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as problem:
        raise InputError(
            f"{path.name} of release {path.parent.name} is not JSON; "
            "run `nearline run` to write it anew"
        ) from problem
    return stated if isinstance(stated, dict) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _moment(value: object) -> datetime | None:
    """An ISO moment as naive UTC, like the timestamps of the tables."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (
        moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    )


def total(rows: Iterable[DayMetrics]) -> DayMetrics:
    """Sums over days; `day` is the last of them. Needs at least one day."""
    rows = list(rows)
    score_sums = [
        row.engagement_score_sum for row in rows if row.engagement_score_sum is not None
    ]
    return DayMetrics(
        day=rows[-1].day,
        session_count=sum(row.session_count for row in rows),
        converted_session_count=sum(row.converted_session_count for row in rows),
        bounced_session_count=sum(row.bounced_session_count for row in rows),
        measured_session_count=sum(row.measured_session_count for row in rows),
        revenue_cents=sum(row.revenue_cents for row in rows),
        engaged_seconds=sum(row.engaged_seconds for row in rows),
        engagement_score_sum=sum(score_sums) if score_sums else None,
        engagement_scores=SufficientStatistics.total(
            row.engagement_scores for row in rows
        ),
    )

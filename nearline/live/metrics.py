"""What Prometheus may know of the processor: counts, lags and durations, never who."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nearline.live.processor import Batch

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The numbers of one processor."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "nearline_live_records",
            "Records of the log by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self._rows = Counter(
            "nearline_live_rows_written",
            "Rows of values written to the online store",
            registry=self.registry,
        )
        self._timers = Counter(
            "nearline_live_timers",
            "Entities whose values changed by the passing of time",
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "nearline_live_batch_seconds",
            "How long a micro-batch took",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._waited_seconds = Histogram(
            "nearline_live_waited_seconds",
            "From the arrival of a micro-batch's oldest event until its values were there",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._lag = Gauge(
            "nearline_live_lag_records",
            "Records of the log that are not processed yet",
            registry=self.registry,
        )
        self._views_off = Gauge(
            "nearline_live_views_off",
            "Views that are switched off because their SQL failed",
            registry=self.registry,
        )
        self._waits = Counter(
            "nearline_live_waits",
            "Times that the processor waited for something that was away",
            ["for"],
            registry=self.registry,
        )

    def note_batch(self, batch: Batch) -> None:
        outcomes = {
            "used": batch.facts,
            "unused": batch.unused,
            "repeated": batch.repeated,
            "rejected": batch.rejected,
        }
        for outcome, count in outcomes.items():
            self._records.labels(outcome).inc(count)
        self._rows.inc(batch.rows_written)
        self._timers.inc(batch.timers)
        if not batch.is_idle:
            self._batch_seconds.observe(batch.seconds)
        if batch.waited_seconds is not None:
            self._waited_seconds.observe(batch.waited_seconds)

    def note_state(self, lag_records: int, views_off: int) -> None:
        self._lag.set(lag_records)
        self._views_off.set(views_off)

    def note_wait(self, part: str) -> None:
        self._waits.labels(part).inc()

"""What Prometheus may know of decisions: counts and durations, never who.

Labels are names of this installation's own files (slots, applications) and words of this
code; what a request says is never one.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

from nearline.collector.metrics import exposition

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5)


class DecisionMetrics:
    """The numbers of one worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.decisions = Counter(
            "nearline_decisions",
            "Slots answered, by what they were chosen by",
            ["slot", "answer"],
            registry=self._registry,
        )
        self.fallbacks = Counter(
            "nearline_decision_fallbacks",
            "Slots answered with less than was asked for, by the reason",
            ["reason"],
            registry=self._registry,
        )
        self.capped = Counter(
            "nearline_decision_capped",
            "Slots, policies and blocks passed over since a cap of theirs was reached",
            ["what"],
            registry=self._registry,
        )
        self.plain = Counter(
            "nearline_decision_plain_order",
            "Decisions in plain order, since the learnt policy's file cannot be read",
            registry=self._registry,
        )
        self.unknown = Counter(
            "nearline_decision_unknown",
            "What requests named that is not known: visitor, slot or item",
            ["what"],
            registry=self._registry,
        )
        self.logged = Counter(
            "nearline_decision_records",
            "Decisions by what became of their record: written, dropped, no_consent",
            ["status"],
            registry=self._registry,
        )
        self.shared = Counter(
            "nearline_decision_shared",
            "Answers that many share, by where they came from: kept, made, kept_late, "
            "made_less",
            ["slot", "source"],
            registry=self._registry,
        )
        self.response_cache = Counter(
            "nearline_response_cache",
            "What was asked of the cache: hit, miss, corrupt, or get_ and put_ with slow, "
            "busy or failed",
            ["result"],
            registry=self._registry,
        )
        self.requests = Counter(
            "nearline_decision_requests",
            "Requests, by the answer's status",
            ["path", "status"],
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "nearline_decision_request_seconds",
            "From the first byte read to the answer",
            ["path"],
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.stage_seconds = Histogram(
            "nearline_decision_stage_seconds",
            "How long a stage took that answered in time",
            ["stage"],
            registry=self._registry,
            buckets=_SECONDS,
        )

    def exposition(self) -> bytes:
        """All workers' numbers in Prometheus' text format."""
        return exposition(self._registry)

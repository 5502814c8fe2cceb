"""What Prometheus may know of a collector: counts and durations, never who or what.

Workers are processes of their own. With more than one, each writes its numbers to files
in `PROMETHEUS_MULTIPROC_DIR` (set by who starts them, before this is imported), and
whichever worker is asked answers for all.
"""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

# Decided when the library is imported; the variable itself may be set later by others
# (Feast does), while our numbers are in memory.
_ARE_IN_FILES = values.ValueClass is not values.MutexValue
CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The numbers of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.events = Counter(
            "nearline_collector_events",
            "Events by what became of them",
            ["source", "status"],
            registry=self._registry,
        )
        self.refusals = Counter(
            "nearline_collector_refusals",
            "Rejected events by the field at fault",
            ["source", "field"],
            registry=self._registry,
        )
        self.bots = Counter(
            "nearline_collector_bot_events",
            "Accepted events whose sender says that it is a bot",
            ["source"],
            registry=self._registry,
        )
        self.dropped_fields = Counter(
            "nearline_collector_dropped_fields",
            "Fields dropped from accepted events because of an identifier in them",
            ["source"],
            registry=self._registry,
        )
        self.requests = Counter(
            "nearline_collector_requests",
            "Requests that bring events, by the answer's status",
            ["path", "status"],
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "nearline_collector_request_seconds",
            "From the first byte read to the answer",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.append_seconds = Histogram(
            "nearline_collector_append_seconds",
            "How long the log took to make records durable",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.body_bytes = Counter(
            "nearline_collector_body_bytes",
            "Bytes of bodies after decompression",
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """All workers' numbers in Prometheus' text format."""
        return exposition(self._registry)


def exposition(registry: CollectorRegistry) -> bytes:
    """A registry's numbers as text; those of all workers where there are several."""
    if _ARE_IN_FILES:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)

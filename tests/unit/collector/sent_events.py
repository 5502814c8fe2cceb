"""Events as they are sent, and a door with a fixed key and a fixed time of arrival."""

from datetime import UTC, datetime
from typing import Any

import orjson

from nearline.collector.config import CollectorConfig, Source
from nearline.collector.door import Accepted, Arrival, Door, Refused
from nearline.privacy.pseudonyms import Pseudonymizer

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PSEUDONYMIZER = Pseudonymizer(b"0123456789abcdef", "k7")
BROWSER = Source(
    write_key="web_key",
    source="web",
    allowed_origins=frozenset({"https://shop.example"}),
)
SERVER = Source(
    write_key="server_key", source="backend", trust="server", requires_consent=False
)
CONFIG = CollectorConfig(
    sources=(BROWSER, SERVER), allowed_query_params=frozenset({"ref"})
)
DOOR = Door(CONFIG, PSEUDONYMIZER)


def sent_event(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": "e_1",
        "event_name": "page_view",
        "schema_version": "1.1",
        "occurred_at": "2026-03-02T11:59:59.000Z",
        "visitor_id": "cookie-0001",
        "consent_analytics": True,
        **fields,
    }


def arrival(**facts: Any) -> Arrival:
    return Arrival(**{"received_at": NOON, "user_agent": FIREFOX, **facts})


def kept(sender: Source = BROWSER, at: Arrival | None = None, /, **fields: Any) -> Any:
    """The event as the log keeps it; fails where it is refused."""
    outcome = DOOR.admit(sent_event(**fields), sender, at or arrival())
    assert isinstance(outcome, Accepted), outcome
    return orjson.loads(outcome.value)


def refused(
    sender: Source = BROWSER, at: Arrival | None = None, /, **fields: Any
) -> Refused:
    outcome = DOOR.admit(sent_event(**fields), sender, at or arrival())
    assert isinstance(outcome, Refused), outcome
    return outcome

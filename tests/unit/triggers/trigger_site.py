"""A home with a release, a log and a clock that a test sets, for triggers to run in.

The release's SQL is of the form that dbt compiles: consent, bots and suppression. That
dbt's own is run is for `tests/dbt`.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nearline.log import EVENTS, NewRecord, open_log
from nearline.settings import Settings
from nearline.triggers.running import Follower, Step, deliver_due
from nearline.triggers.state import state_path
from tests.releases import Row, publish_with_live_sql, write_release

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

_FACTS = """
select event_id
from live_arrivals as arrived
where
    consent_analytics and consent_personalization and bot_reason is null
    and not exists (
        select 1 from stg_privacy__suppressed_keys as suppressed
        where
            (key_type = 'visitor' and key_value = visitor_id)
            or (key_type = 'user' and key_value = user_id)
    )
"""


def visitor(name: str) -> str:
    return f"v_{name.rjust(12, '0')}"


def user(name: str) -> str:
    return f"u_{name.rjust(12, '0')}"


def contract_event(
    event_id: str,
    who: str,
    name: str,
    occurred_at: str,
    received_at: str,
    **fields: Any,
) -> dict[str, Any]:
    """An event of the contract, of somebody who consents to everything."""
    return {
        "event_id": event_id,
        "event_name": name,
        "schema_version": "1.2",
        "occurred_at": occurred_at,
        "received_at": received_at,
        "source": "web",
        "visitor_id": visitor(who),
        "consent_analytics": True,
        "consent_personalization": True,
        "consent_marketing": True,
        "consent_notice_version": "1",
    } | fields


@dataclass
class TriggerSite:
    """Seconds are counted from noon; `now` is what the clock shows."""

    home: Path
    settings: Settings
    now: float = 0.0
    _number: int = field(default=0)

    def clock(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    def define(self, text: str, name: str = "shop.yml") -> None:
        self.settings.triggers.mkdir(parents=True, exist_ok=True)
        (self.settings.triggers / name).write_text(text)

    def event(
        self,
        who: str,
        name: str,
        seconds: float,
        arrived: float | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """An event that happened and arrived so many seconds after noon."""
        self._number += 1
        received = _written(seconds if arrived is None else arrived)
        event_id = f"event_{self._number:05}"
        return contract_event(
            event_id, who, name, _written(seconds), received, **fields
        )

    def arrive(self, *events: Mapping[str, Any]) -> None:
        with closing(open_log(self.settings, EVENTS)) as log:
            log.append([NewRecord("key", json.dumps(one).encode()) for one in events])

    def logged(self, name: str) -> list[dict[str, Any]]:
        """Events of a name that the log holds."""
        with closing(open_log(self.settings, EVENTS)) as log:
            every = [json.loads(one.value) for one in log.read(0, 0, 1_000_000)]
        return [one for one in every if one["event_name"] == name]

    def step(self, now: float, max_records: int = 2_000) -> Step:
        """Runs until nothing is left to do, with the clock at `now`; then delivers."""
        self.now = now
        with closing(
            Follower(self.settings, clock=self.clock, max_records=max_records)
        ) as follower:
            found = Step()
            while not (step := follower.step()).is_idle:
                found = Step(found.records + step.records, found.events + step.events,
                             found.fired + step.fired)  # fmt: skip
        return found

    def deliver(self) -> int:
        return deliver_due(self.settings, lambda: self.clock().timestamp())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the state's tables."""
        with closing(sqlite3.connect(state_path(self.settings))) as connection:
            return connection.execute(sql).fetchall()

    def firings(self) -> list[tuple[str, str, str, float]]:
        """Trigger, visitor, key and the second at which it was due."""
        start = NOON.timestamp()
        return [
            (trigger, visitor_id, key, due / 1000 - start)
            for trigger, visitor_id, key, due in self.rows(
                "select trigger_name, visitor_id, key, due from firings "
                "order by due, trigger_name, visitor_id, key"
            )
        ]

    def messages(self) -> list[tuple[str, str]]:
        return self.rows("select channel, state from outbox order by message_id")

    def release(self, name: str, **tables: Sequence[Row]) -> None:
        """Publishes tables, and the SQL that says which events may be used."""
        folder = write_release(
            self.settings.releases / name,
            {key: list(rows) for key, rows in tables.items()},
        )
        publish_with_live_sql(
            self.settings,
            folder,
            [{"name": "live_feature_facts", "sql": _FACTS, "meta": {}}],
            NOON,
        )


def trigger_site(home: Path, **settings: Any) -> TriggerSite:
    site = TriggerSite(home, Settings(home=home, **settings))
    site.release("20260501T000000Z")
    return site


def mailing_site(
    home: Path, mail_port: int, addresses: Mapping[str, str]
) -> TriggerSite:
    """A site that hands e-mails in at a port of this machine, for accounts by name."""
    path = home.with_name("addresses.csv")
    lines = [f"{user(who)},{address}\n" for who, address in addresses.items()]
    path.write_text("user_id,address\n" + "".join(lines))
    return trigger_site(
        home,
        trigger_addresses=path,
        smtp_host="127.0.0.1",
        smtp_port=mail_port,
        smtp_security="none",
        smtp_from="Shop <hello@shop.example>",
    )


def _written(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

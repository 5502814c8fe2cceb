"""A setting of a source that cannot be is an error that says which, and what can be."""

import json
from pathlib import Path
from typing import Any

from tests.dbt.warehouse import Warehouse


def test_every_setting_that_cannot_be_is_named_with_what_can_be(tmp_path: Path) -> None:
    sources: dict[str, Any] = {
        "typo": {"sesion_rule": "source"},
        "rule": {"session_rule": "sometimes"},
        "beat": {"engagement": "heartbeat", "heartbeat_seconds": 0},
        "visit": {"engagement": "heartbeat", "min_visit_seconds": "5"},
        "kind": {"engagement": "pings"},
        "late": {"days_late_allowed": -1},
        "alone": {"heartbeat_seconds": 10},
        "whom": {"assumed_consent": ["everything"]},
        "apart": {"session_rule": "none", "engagement": "heartbeat"},
        "snapshots": {"session_rule": "none", "days_late_allowed": 3},
        "nothing": None,
        "good": {
            "session_rule": "timeout",
            "engagement": "heartbeat",
            "heartbeat_seconds": 1,
            "min_visit_seconds": 0,
            "days_late_allowed": 0,
            "assumed_consent": [],
        },
    }
    home, target = tmp_path / "home", tmp_path / "target"
    home.mkdir()
    target.mkdir()

    printed = Warehouse(home, target).dbt_refusal(
        "parse", "--vars", json.dumps({"sources": sources})
    )

    problems = printed.partition("var sources: ")[2].partition("\n")[0].split("; ")
    assert problems == [
        "typo.sesion_rule is not one of session_rule, engagement, assumed_consent, "
        "heartbeat_seconds, min_visit_seconds, days_late_allowed",
        'rule.session_rule must be source or timeout or none, not "sometimes"',
        "beat.heartbeat_seconds must be a whole number from 1, not 0",
        'visit.min_visit_seconds must be a whole number from 0, not "5"',
        'kind.engagement must be heartbeat, not "pings"',
        "late.days_late_allowed must be a whole number from 0, not -1",
        "alone.heartbeat_seconds needs engagement: heartbeat",
        "whom.assumed_consent must be a list of analytics, personalization, marketing, "
        'not ["everything"]',
        "apart.engagement is of sessions, and session_rule is none",
        "nothing must be a mapping of settings",
    ]

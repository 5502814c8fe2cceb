"""A home with a published release: who is in `cart_abandoner`, and what they said.

| person | devices and what each last said of marketing | outcome |
|---|---|---|
| p_ann | one: yes | in |
| p_ben | two: yes, yes; an account and a contact | in |
| p_cem | two: yes, no | refused |
| p_dora | one: nothing, assumed no | never asked |
| p_eve | two: nothing, assumed yes; nothing, assumed no | in |
| p_fay | one: yes; of personalization no; left the segment | not a member |
| p_gil | none at all | never asked |
| p_hal | one: yes; its account is listed after the release | suppressed |
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from nearline.settings import Settings
from tests.releases import release_tables, write_release

SINCE = datetime(2026, 3, 1, 9, 30)


def publish(home: Path) -> Settings:
    settings = Settings(home=home)
    tables = release_tables()
    tables["fct_segments"] = [
        _member(person) for person in ("ann", "ben", "cem", "dora", "eve", "gil", "hal")
    ] + [_member("fay", is_current=False), _member("fay", "casual_browser/cluster_0")]
    tables["dim_consents"] = [
        _consent("ann", 1, True),
        _consent("ben", 1, True),
        _consent("ben", 2, True),
        _consent("cem", 1, True),
        _consent("cem", 2, False),
        _consent("dora", 1, False, is_stated=False),
        _consent("eve", 1, True, is_stated=False),
        _consent("eve", 2, False, is_stated=False),
        _consent("fay", 1, True),
        _consent("hal", 1, True),
    ]
    tables["bridge_identities"] = [
        _identity("visitor", row["visitor_id"], row["person_id"])
        for row in tables["dim_consents"]
    ] + [
        _identity("user", "u_ben00001", "p_ben"),
        _identity("user", "u_hal00001", "p_hal"),
        _identity("contact", "c_ben00001", "p_ben"),
    ]
    write_release(settings.releases / "r1", tables)
    settings.published.symlink_to(settings.releases / "r1")
    return settings


def _member(
    person: str, segment: str = "cart_abandoner", is_current: bool = True
) -> dict[str, Any]:
    return {
        "person_id": f"p_{person}",
        "segment": segment,
        "segment_kind": "hybrid" if "/" in segment else "rule",
        "valid_from": SINCE,
        "is_current": is_current,
        "is_primary": False,
    }


def _consent(
    person: str, device: int, marketing: bool, is_stated: bool = True
) -> dict[str, Any]:
    return {
        "visitor_id": f"v_{person}_{device:04d}",
        "person_id": f"p_{person}",
        "is_stated": is_stated,
        "has_analytics_consent": True,
        "has_personalization_consent": person == "cem",
        "has_marketing_consent": marketing,
        "stated_at": SINCE if is_stated else None,
    }


def _identity(kind: str, identifier: str, person_id: str) -> dict[str, Any]:
    return {
        "identifier_type": kind,
        "identifier": identifier,
        "person_id": person_id,
        "linked_at": SINCE,
        "link_reason": "own",
    }

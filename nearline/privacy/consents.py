"""What people allow, as the published tables tell it, for whoever must ask before telling.

Belongs here: the purposes, and when a person's devices together allow one. Not here: consent
of an event (the contract), or as of a moment (the dbt models).
"""

from pathlib import Path
from typing import Literal, get_args

from nearline.publication.tables import scan

Purpose = Literal["personalization", "marketing"]
"""What somebody may be told or shown something for."""

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def consents_of_persons(release: Path, purpose: Purpose, persons: str) -> str:
    """SQL: one row per person of the relation `persons (person_id)` who has a device that
    `dim_consents` knows, with `is_allowed` (some device said yes) and `is_refused`."""
    allows = f"has_{purpose}_consent"
    return f"""
        select
            person_id,
            bool_or({allows}) as is_allowed,
            -- One device on which somebody said no is a no of the person.
            bool_or(is_stated and not {allows}) as is_refused,
        from {scan(release, "dim_consents")}
        where person_id in (select person_id from {persons})
        group by person_id
    """

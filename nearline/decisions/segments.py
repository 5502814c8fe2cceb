"""The segments that a visitor's person is in, from the published tables.

Belongs here: one visitor, with consent and suppression as they are now. Not here: the
members of a segment, for other systems (`nearline.audience`).
"""

from dataclasses import dataclass
from datetime import datetime

from nearline.errors import InputError
from nearline.privacy.consents import Purpose, consents_of_persons
from nearline.privacy.suppression import suppressed_rows
from nearline.publication.tables import scan, table_path
from nearline.settings import Settings

_TABLES = ("fct_segments", "bridge_identities", "dim_consents")


@dataclass(frozen=True, slots=True)
class Membership:
    """A segment that holds now, since `since` (UTC)."""

    segment: str
    since: datetime
    is_primary: bool


@dataclass(frozen=True, slots=True)
class Segments:
    """What may be told for a purpose; `reason` says why it is nothing, if it is.

    Reasons: `unknown_visitor`, `no_consent` (some device of the person said no, or none
    said yes), `suppressed` (erased or opted out since the release).
    """

    release_id: str
    memberships: tuple[Membership, ...] = ()
    reason: str | None = None


def read_segments(settings: Settings, visitor_id: str, purpose: Purpose) -> Segments:
    """Current segments of the person behind a visitor.

    Raises:
        InputError: nothing is published yet, or a release of before segments were.
    """
    import duckdb

    release = settings.published.resolve()
    if not all(table_path(release, table).exists() for table in _TABLES):
        raise InputError("no segments are published yet; run `nearline run` first")
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("suppressed", suppressed_rows(settings))
        [(is_known, is_suppressed, is_allowed)] = connection.execute(
            f"""
            with

            person as (
                select person_id from {scan(release, "bridge_identities")}
                where identifier_type = 'visitor' and identifier = ?
            ),

            identifiers as (
                select identifier_type, identifier
                from {scan(release, "bridge_identities")}
                where person_id in (select person_id from person)
            ),

            consents as ({consents_of_persons(release, purpose, "person")})

            select
                exists (from person),
                exists (
                    from identifiers inner join suppressed
                        on identifier_type = key_type and identifier = key_value
                ),
                coalesce((select is_allowed and not is_refused from consents), false),
            """,
            [visitor_id],
        ).fetchall()
        if not is_known:
            return Segments(release.name, reason="unknown_visitor")
        if is_suppressed:
            return Segments(release.name, reason="suppressed")
        if not is_allowed:
            return Segments(release.name, reason="no_consent")
        rows = connection.execute(
            f"""
            select segment, valid_from, is_primary
            from {scan(release, "fct_segments")}
            where
                is_current
                and person_id in (
                    select person_id from {scan(release, "bridge_identities")}
                    where identifier_type = 'visitor' and identifier = ?
                )
            order by not is_primary, segment
            """,
            [visitor_id],
        ).fetchall()
    return Segments(release.name, tuple(Membership(*row) for row in rows))

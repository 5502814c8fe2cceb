"""Who is in a segment now and may be told to others, from the published tables.

Belongs here: membership, consent and suppression at the moment of reading, the count of
those left out. Not here: how an audience leaves (`files`, `webhook`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nearline.errors import InputError
from nearline.privacy.consents import Purpose, consents_of_persons
from nearline.privacy.suppression import suppressed_rows
from nearline.publication.tables import scan, table_path
from nearline.settings import Settings

if TYPE_CHECKING:
    import duckdb

_TABLES = ("fct_segments", "bridge_identities", "dim_consents")
_IDS: "pa.ListType[Any]" = pa.list_(pa.string())
_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("person_id", pa.string(), nullable=False),
    pa.field("user_ids", _IDS, nullable=False),
    pa.field("contact_ids", _IDS, nullable=False),
    pa.field("visitor_ids", _IDS, nullable=False),
    pa.field("member_since", pa.timestamp("us"), nullable=False),
]
MEMBER_SCHEMA = pa.schema(_FIELDS)
"""One row per person; ids are pseudonyms, as in bridge_identities; times are UTC."""


@dataclass(frozen=True, slots=True, eq=False)
class Audience:
    """The members that may be told, by person id, and how many may not, by reason.

    Reasons: `refused` (some device of the person last said no), `never_asked` (nobody
    asked for this purpose), `suppressed` (erased or opted out since the release).
    """

    segment: str
    purpose: Purpose
    release_id: str
    members: pa.Table
    left_out: Mapping[str, int]


def read_audience(settings: Settings, segment: str, purpose: Purpose) -> Audience:
    """The people who are in `segment` as of the published release.

    Raises:
        InputError: nothing is published yet, the release is of before consents were
            published, or there is no such segment; the message names those there are.
    """
    import duckdb

    release = settings.published.resolve()
    if not release.is_dir():
        raise InputError("nothing is published yet; run `nearline run` first")
    for table in _TABLES:
        if not table_path(release, table).exists():
            raise InputError(
                f"release {release.name} has no table {table}; `nearline run` publishes it"
            )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        _check_segment(connection, release, segment)
        connection.register("suppressed", suppressed_rows(settings))
        judged = connection.sql(
            _judged(release, purpose), params={"segment": segment}
        ).to_arrow_table()
    counts: dict[str, int] = dict.fromkeys(("never_asked", "refused", "suppressed"), 0)
    for reason in judged["left_out_reason"].to_pylist():
        if reason is not None:
            counts[reason] += 1
    allowed = judged.filter(judged["left_out_reason"].is_null())
    members = allowed.select(MEMBER_SCHEMA.names).cast(MEMBER_SCHEMA)
    return Audience(segment, purpose, release.name, members, counts)


def _check_segment(
    connection: "duckdb.DuckDBPyConnection", release: Path, segment: str
) -> None:
    known = [
        name
        for (name,) in connection.execute(
            f"select distinct segment from {scan(release, 'fct_segments')} order by all"
        ).fetchall()
    ]
    if segment not in known:
        # What was given is not repeated: it may be anything.
        listed = ", ".join(known) or "none, for there is nobody in any"
        raise InputError(f"SEGMENT must be one of the published segments: {listed}")


def _judged(release: Path, purpose: Purpose) -> str:
    return f"""
        with

        members as (
            select person_id, min(valid_from) as member_since
            from {scan(release, "fct_segments")}
            where is_current and segment = $segment
            group by person_id
        ),

        identifiers as (
            select
                identifiers.*,
                suppressed.key_value is not null as is_suppressed,
            from {scan(release, "bridge_identities")} as identifiers
            left join suppressed
                on
                    identifiers.identifier_type = suppressed.key_type
                    and identifiers.identifier = suppressed.key_value
            where identifiers.person_id in (select person_id from members)
        ),

        persons as (
            select
                person_id,
                bool_or(is_suppressed) as is_suppressed,
                coalesce(list_sort(
                    list(identifier) filter (where identifier_type = 'user')
                ), []) as user_ids,
                coalesce(list_sort(
                    list(identifier) filter (where identifier_type = 'contact')
                ), []) as contact_ids,
                coalesce(list_sort(
                    list(identifier) filter (where identifier_type = 'visitor')
                ), []) as visitor_ids,
            from identifiers
            group by person_id
        ),

        consents as ({consents_of_persons(release, purpose, "members")})

        select
            members.person_id,
            coalesce(user_ids, []) as user_ids,
            coalesce(contact_ids, []) as contact_ids,
            coalesce(visitor_ids, []) as visitor_ids,
            member_since,
            case
                when coalesce(is_suppressed, false) then 'suppressed'
                when coalesce(is_refused, false) then 'refused'
                when not coalesce(is_allowed, false) then 'never_asked'
            end as left_out_reason,
        from members
        left join persons using (person_id)
        left join consents using (person_id)
        order by members.person_id
    """

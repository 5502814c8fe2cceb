"""Whose features rest on events of suppressed keys, as far as the release still tells.

Taking a key out takes its events out of every feature: of the visitor itself, of the
other visitors of the same person, of the items that were looked at.
"""

from nearline.privacy.suppression import KeyType, list_digest, suppressed_keys
from nearline.publication.releases import read_manifest
from nearline.publication.tables import scan
from nearline.settings import Settings

Entity = tuple[str, str]
"""Name of an entity's key, such as visitor_id, and the id."""

_KEY_TYPES: tuple[KeyType, ...] = ("visitor", "user", "contact")


def find_footprint(settings: Settings) -> frozenset[Entity]:
    """Entities whose features change with the suppression list as it is now.

    Asked of the published release, where that was built under another list; the keys
    that are listed are always among them.
    """
    keys = [
        (key_type, key)
        for key_type in _KEY_TYPES
        for key in suppressed_keys(settings, key_type)
    ]
    entities = {("visitor_id", key) for key_type, key in keys if key_type == "visitor"}
    manifest = read_manifest(settings.published)
    if keys and manifest is not None and manifest.suppression != list_digest(settings):
        entities |= _in_release(settings, keys)
    return frozenset(entities)


def _in_release(settings: Settings, keys: list[tuple[KeyType, str]]) -> set[Entity]:
    import duckdb
    import pyarrow as pa

    release = settings.published.resolve()
    listed = pa.table(
        {
            "identifier_type": [key_type for key_type, _ in keys],
            "identifier": [key for _, key in keys],
        }
    )
    with duckdb.connect() as connection:
        connection.register("listed", listed)
        rows = connection.execute(
            f"""
            with persons as (
                select distinct person_id
                from {scan(release, "bridge_identities")}
                semi join listed using (identifier_type, identifier)
            ),

            visitors as (
                select identifier as visitor_id
                from {scan(release, "bridge_identities")}
                semi join persons using (person_id)
                where identifier_type = 'visitor'
                union
                select identifier from listed where identifier_type = 'visitor'
            ),

            -- Features go by accounts, not by today's persons.
            accounts as (
                select user_id
                from {scan(release, "fct_events")}
                semi join visitors using (visitor_id)
                union
                select identifier from listed where identifier_type = 'user'
            )

            select 'visitor_id' as entity_key, visitor_id as entity_id from visitors
            union
            select 'visitor_id', visitor_id
            from {scan(release, "fct_events")}
            semi join accounts using (user_id)
            union
            select 'item_id', item_id
            from {scan(release, "fct_events")}
            semi join visitors using (visitor_id)
            where item_id is not null
            """
        ).fetchall()
    return {(str(entity_key), str(entity_id)) for entity_key, entity_id in rows}

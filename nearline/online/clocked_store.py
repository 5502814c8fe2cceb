"""Feast's SQLite store with a memory for time: an older value never wins.

Belongs here: the writer's side only. It keeps Feast's layout, so that readers use the
stock class. It is named in the configuration of whoever writes through Feast
(`write_to_online_store`, push), never in the file that apps are given.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id, extract_text_and_num
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from nearline.online.encoding import KEY_VERSION
from nearline.online.store_file import EntityRow, open_store_file

TYPE = "nearline.online.clocked_store.ClockedSqliteOnlineStore"

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClockedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """As Feast's; the class is found by this one's name."""

    type: Literal[TYPE] = TYPE  # type: ignore


class ClockedSqliteOnlineStore(SqliteOnlineStore):
    """Writes a row unless the stored one is newer by (event, created) time."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        name = compute_table_id(config.project, table)
        with open_store_file(Path(self._get_db_path(config))) as store:
            store.add_clock(name)
            store.write(name, _entity_rows(data))
        if progress is not None:
            progress(len(data))


def _entity_rows(data: Iterable[FeastRow]) -> Iterable[EntityRow]:
    for entity_key, values, event, created in data:
        yield EntityRow(
            key=serialize_entity_key(entity_key, KEY_VERSION),
            event_us=_microseconds(event),
            created_us=_microseconds(created or event),
            fingerprint=None,
            values=[
                (
                    feature,
                    value.SerializeToString(),
                    extract_text_and_num(value, False)[0],
                )
                for feature, value in values.items()
            ],
        )


def _microseconds(moment: datetime) -> int:
    """Since 1970; a moment without a zone is UTC, as everywhere in Feast."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)

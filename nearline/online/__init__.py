"""The online feature store: filled by key, read by anybody who has Feast.

Belongs here: keeping the store equal to a release without a gap for readers, and what
every writer of it needs. What a feature means is in `dbt_project/`; what can be looked up
is in `feature_repo/`.
"""

from nearline.online.opening import open_online_values
from nearline.online.refresh import ViewRefresh, refresh_online_store
from nearline.online.values import (
    EntityRow,
    OnlineStoreUnavailableError,
    OnlineValues,
    StoredView,
    expire_values,
    stored_view,
)

__all__ = [
    "EntityRow",
    "OnlineStoreUnavailableError",
    "OnlineValues",
    "StoredView",
    "ViewRefresh",
    "expire_values",
    "open_online_values",
    "refresh_online_store",
    "stored_view",
]

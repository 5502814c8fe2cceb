"""The online feature store: filled by key, read by anybody who has Feast.

Belongs here: keeping the store's files equal to a release without a gap for readers.
What a feature means is in `dbt_project/`; what can be looked up is in `feature_repo/`.
"""

from nearline.online.refresh import ViewRefresh, refresh_online_store

__all__ = ["ViewRefresh", "refresh_online_store"]

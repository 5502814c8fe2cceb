"""Opens the online store that the settings name; a backend is imported when used."""

from nearline.online.configuration import PROJECT, store_file
from nearline.online.values import OnlineValues
from nearline.settings import Settings


def open_online_values(settings: Settings) -> OnlineValues:
    """The values of this installation, for one thread; close them at the end.

    Raises:
        InputError: the address of Redis cannot be understood.
        OnlineStoreUnavailableError: the file cannot be opened. Redis is connected to by
            the first call.
    """
    if settings.online_store == "redis":
        from nearline.online.redis_address import redis_address
        from nearline.online.redis_values import open_redis_values

        return open_redis_values(
            PROJECT, redis_address(settings), settings.redis_timeout_seconds
        )
    from nearline.online.sqlite_values import SqliteValues

    settings.online.mkdir(parents=True, exist_ok=True)
    return SqliteValues(store_file(settings), PROJECT)

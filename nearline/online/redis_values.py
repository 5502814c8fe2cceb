"""Online values in Redis: Feast's hashes, and in each one the clocks of its views.

Belongs here: how commands reach Redis, again and again until they are answered. What one
step does is in `redis_scripts`.

One hash holds all views of an entity, under Feast's own key, so that every step touches
one key and a cluster needs nothing special. Two keys of ours stand beside the hashes:
`nearline:<project>:views` (view to join key), and per view with a limit a sorted set of
entities by event time, which tells what expires next. The set is written before the
hash: an entity may be in it without a value, never the other way round.

Rejected: clocks in keys of their own (not one step in a cluster), `WATCH` (a round trip
more, and a retry under contention), `HEXPIRE` (Redis 7.4 and later), `EXPIRE` (a hash
has views of different limits). Redis Functions would save loading the scripts, but have
to be deployed with the server.
"""

import hashlib
import json
import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import mmh3
import redis
from google.protobuf.timestamp_pb2 import Timestamp
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)

from nearline.errors import InputError, NearlineError
from nearline.online import redis_scripts
from nearline.online.encoding import key_encoder, key_offset
from nearline.online.redis_address import RedisAddress, connect
from nearline.online.redis_scripts import decode_clock, encode_clock
from nearline.online.values import (
    EntityRow,
    OnlineStoreUnavailableError,
    StoredView,
    held_table,
    newest_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

_IN_A_PIPELINE = 1_000
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
# A server that hangs is left before the time is over, so that another may answer.
_TRIES_IN_TIME = 3
# What passes, but for a wrong password, which is a ConnectionError too.
_TRANSIENT = (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
    redis.ConnectionError,
    redis.TimeoutError,
)
# So does what the client has no class for: a disk that is full, replicas that are missing,
# a script that somebody else lets run for seconds.
_TRANSIENT_WORDS = {"BUSY", "MISCONF", "NOREPLICAS"}
_UNANSWERED = object()


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    digest: str


def _script(text: str) -> _Script:
    return _Script(text, hashlib.sha1(text.encode()).hexdigest())


_WRITE = _script(redis_scripts.WRITE)
_REMOVE = _script(redis_scripts.REMOVE)
_FORGET_IF_UNCHANGED = _script(redis_scripts.FORGET_IF_UNCHANGED)


@dataclass(frozen=True, slots=True)
class _Command:
    """One command on one key."""

    key: bytes
    words: tuple[Any, ...]


def _command(name: str, key: bytes, *arguments: Any) -> _Command:
    return _Command(key, (name, key, *arguments))


def _call(script: _Script, key: bytes, *arguments: Any) -> _Command:
    return _Command(key, ("EVALSHA", script.digest, 1, key, *arguments))


class RedisValues:
    """The values of one project in a Redis server or cluster.

    Nothing is sent before the first call. An acknowledged write is as durable as the
    server makes it: replication is asynchronous, and what a failover loses is written
    again by the next refresh.
    """

    def __init__(
        self,
        project: str,
        open_client: Callable[[], Any],
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._project = project.encode()
        self._open_client = open_client
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._pause = pause
        self._opened: Any = None

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def prepare(self, view: StoredView) -> None:
        told = json.dumps({"join_key": view.join_key, "features": view.features})
        self._run([_command("HSET", self._views, view.name, told)])

    def held(self, view: StoredView) -> "pa.Table":
        probe = _feature_field(view.name, min(view.features))
        asked = (_clock_field(view.name), _time_field(view.name), probe)
        offset = key_offset(view.join_key)
        rows: list[tuple[str, int | None, int | None, int | None]] = []
        for keys in _in_parts(self._entities(view.join_key)):
            answers = self._run(
                _command("HMGET", self._hash(key), *asked) for key in keys
            )
            for key, (clock, written, value) in zip(keys, answers, strict=True):
                if clock is None and written is None and value is None:
                    continue
                event_us, created_us, fingerprint = None, None, None
                if clock is not None and value is not None:
                    *exact, told = decode_clock(clock)
                    if told == written:
                        event_us, created_us, fingerprint = exact
                rows.append((key[offset:].decode(), event_us, created_us, fingerprint))
        return held_table(rows)

    def write(self, view: StoredView, rows: Iterable[EntityRow]) -> int:
        return self.write_together([(view, rows)])

    def write_together(
        self, rows_of_views: Iterable[tuple[StoredView, Iterable[EntityRow]]]
    ) -> int:
        by_key: dict[bytes, list[tuple[StoredView, EntityRow]]] = {}
        for view, rows in rows_of_views:
            newest = newest_rows(rows)
            if view.ttl_us is not None:
                for part in _in_parts(newest):
                    self._note_times(view, [(row.key, row.event_us) for row in part])
            for row in newest:
                by_key.setdefault(row.key, []).append((view, row))
        return sum(
            sum(self._run(self._write_command(*entity) for entity in part))
            for part in _in_parts(by_key.items())
        )

    def delete(self, view: StoredView, keys: Sequence[bytes]) -> None:
        for part in _in_parts(keys):
            noted = [(view.name, key) for key in part]
            scores = self._scores(noted)
            self._remove(view, part, None)
            self._forget(noted, scores)

    def delete_entities(self, keys: Sequence[bytes]) -> None:
        views = [view.name for view in self._prepared()]
        for part in _in_parts(keys):
            noted = [(view, key) for view in views for key in part]
            scores = self._scores(noted)
            self._run(_command("UNLINK", self._hash(key)) for key in part)
            self._forget(noted, scores)

    def expire(self, view: StoredView, before_us: int) -> int:
        removed = 0
        order = self._order(view.name)
        limits = ("-inf", f"({before_us}", "WITHSCORES", "LIMIT", 0, _IN_A_PIPELINE)
        while True:
            (found,) = self._run([_command("ZRANGEBYSCORE", order, *limits)])
            if not found:
                return removed
            due = dict(zip(found[::2], found[1::2], strict=True))
            answers = self._remove(view, list(due), before_us)
            # Text is the time of a value that plain Feast has written past us.
            younger = [
                (key, int(answer))
                for key, answer in zip(due, answers, strict=True)
                if isinstance(answer, bytes)
            ]
            self._note_times(view, younger)
            for key, _ in younger:
                del due[key]
            self._forget([(view.name, key) for key in due], list(due.values()))
            removed += answers.count(1)

    def keep_only(self, views: Iterable[StoredView]) -> None:
        kept = {view.name for view in views}
        for view in self._prepared():
            if view.name in kept:
                continue
            for keys in _in_parts(self._entities(view.join_key)):
                self._remove(view, keys, None)
            self._run([_command("UNLINK", self._order(view.name))])
            self._run([_command("HDEL", self._views, view.name)])

    @property
    def _views(self) -> bytes:
        return b"nearline:%b:views" % self._project

    def _order(self, view_name: str) -> bytes:
        return b"nearline:%b:expiry:%b" % (self._project, view_name.encode())

    def _hash(self, key: bytes) -> bytes:
        return key + self._project

    def _prepared(self) -> list[StoredView]:
        (found,) = self._run([_command("HGETALL", self._views)])
        views = []
        for name, text in sorted(found.items()):
            told = json.loads(text)
            features = tuple(told["features"])
            views.append(StoredView(name.decode(), told["join_key"], features, None))
        return views

    def _write_command(
        self, key: bytes, values: Sequence[tuple[StoredView, EntityRow]]
    ) -> _Command:
        words: list[bytes] = []
        for view, row in values:
            names, encoded, _ = zip(*row.values, strict=True)
            fields = _feature_fields(view.name, names)
            clock = encode_clock(
                row.event_us,
                row.created_us,
                row.fingerprint,
                _timestamp(row.event_us),
                fields,
            )
            words += (_clock_field(view.name), _time_field(view.name), clock, *encoded)
        return _call(_WRITE, self._hash(key), *words)

    def _note_times(self, view: StoredView, times: Sequence[tuple[bytes, int]]) -> None:
        if times:
            words = [word for key, event_us in times for word in (event_us, key)]
            self._run([_command("ZADD", self._order(view.name), "GT", *words)])

    def _scores(self, noted: Sequence[tuple[str, bytes]]) -> list[float | None]:
        return self._run(
            _command("ZSCORE", self._order(view), key) for view, key in noted
        )

    def _forget(
        self, noted: Sequence[tuple[str, bytes]], scores: Sequence[Any]
    ) -> None:
        self._run(
            _call(_FORGET_IF_UNCHANGED, self._order(view), key, score)
            for (view, key), score in zip(noted, scores, strict=True)
            if score is not None
        )

    def _remove(
        self, view: StoredView, keys: Sequence[bytes], before_us: int | None
    ) -> list[Any]:
        arguments = (
            _clock_field(view.name),
            _time_field(view.name),
            "" if before_us is None else before_us,
            *(_feature_field(view.name, feature) for feature in view.features),
        )
        return self._run(_call(_REMOVE, self._hash(key), *arguments) for key in keys)

    def _entities(self, join_key: str) -> Iterator[bytes]:
        """Keys of all entities in the store, each once, without the project's name."""
        start = key_encoder(join_key)("")[:-4]
        pattern = re.sub(rb"([*?\[\]\\^])", rb"\\\1", start) + b"*" + self._project

        def scan(client: Any) -> set[bytes]:
            return set(client.scan_iter(pattern, count=_IN_A_PIPELINE, _type="HASH"))

        for name in sorted(self._patiently(scan)):
            key = name[: -len(self._project)]
            # Another project's name may end with ours.
            (length,) = struct.unpack_from("<I", key, len(start))
            if length == len(key) - len(start) - 4:
                yield key

    def _run(self, commands: Iterable[_Command]) -> list[Any]:
        """The answers to `commands`, each of which is sent until it is answered."""
        asked = list(commands)
        answers: list[Any] = [_UNANSWERED] * len(asked)

        def send(client: Any) -> None:
            waiting = [n for n, answer in enumerate(answers) if answer is _UNANSWERED]
            failures = []
            for node, numbers in _by_node(client, asked, waiting):
                pipeline = node.pipeline(transaction=False)
                for number in numbers:
                    pipeline.execute_command(*asked[number].words)
                found = pipeline.execute(raise_on_error=False)
                for number, answer in zip(numbers, found, strict=True):
                    if isinstance(answer, AskError):
                        # The key is on its way to another node; the client follows it.
                        answer = client.execute_command(*asked[number].words)
                    if isinstance(answer, Exception):
                        failures.append(answer)
                    else:
                        answers[number] = answer
            if failures:
                raise min(failures, key=_passes)

        if asked:
            self._patiently(send)
        return answers

    def _patiently(self, act: Callable[[Any], T]) -> T:
        """What `act` returns, tried until it succeeds or the time is over.

        Raises:
            OnlineStoreUnavailableError: the time is over.
            InputError: Redis does not know the user or the password.
            NearlineError: Redis will refuse it however often it is asked.
        """
        end = self._clock() + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                if self._opened is None:
                    self._opened = self._open_client()
                return act(self._opened)
            except AuthenticationError:
                self.close()
                raise InputError(
                    "Redis refused the user or the password; set "
                    "NEARLINE_REDIS_PASSWORD, or write it into NEARLINE_REDIS_URL"
                ) from None
            except (redis.RedisError, RedisClusterException) as problem:
                if not _passes(problem):
                    raise NearlineError(
                        f"Redis refused a command ({_kind(problem)}); its user "
                        "needs all commands on hashes, sorted sets and scripts"
                    ) from problem
                if self._clock() + pause > end:
                    self.close()
                    raise OnlineStoreUnavailableError(
                        f"Redis did not take it within {self._timeout_seconds:g} s "
                        f"({type(problem).__name__}); what apps read is as before"
                    ) from problem
                if isinstance(problem, NoScriptError):
                    self._patiently(_load_scripts)
                elif not isinstance(problem, OutOfMemoryError | TryAgainError):
                    # Its name may lead to another server by now.
                    self.close()
            self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def open_redis_values(
    project: str, address: RedisAddress, timeout_seconds: float
) -> RedisValues:
    """The values in the Redis at `address`."""
    return RedisValues(
        project,
        lambda: connect(address, timeout_seconds / _TRIES_IN_TIME),
        timeout_seconds,
    )


def _by_node(
    client: Any, commands: Sequence[_Command], numbers: Sequence[int]
) -> Iterator[tuple[Any, list[int]]]:
    """Which of the commands go to which server."""
    if not _is_cluster(client):
        yield client, list(numbers)
        return
    parts: dict[str, tuple[Any, list[int]]] = {}
    for number in numbers:
        node = client.get_node_from_key(commands[number].key)
        parts.setdefault(node.name, (node, []))[1].append(number)
    for node, part in parts.values():
        yield client.get_redis_connection(node), part


def _passes(problem: Exception) -> bool:
    """Whether trying again may help."""
    return isinstance(problem, _TRANSIENT) or _kind(problem) in _TRANSIENT_WORDS


def _kind(problem: Exception) -> str:
    """The client's name of the refusal, or the server's; its text may quote a key."""
    if type(problem) is redis.ResponseError:
        return str(problem).partition(" ")[0]
    return type(problem).__name__


def _is_cluster(client: Any) -> bool:
    return isinstance(client, redis.RedisCluster)


def _load_scripts(client: Any) -> None:
    nodes = [client]
    if _is_cluster(client):
        nodes = [client.get_redis_connection(node) for node in client.get_primaries()]
    for node in nodes:
        for script in (_WRITE, _REMOVE, _FORGET_IF_UNCHANGED):
            node.script_load(script.text)


@cache
def _clock_field(view_name: str) -> bytes:
    return b"_nearline:" + view_name.encode()


@cache
def _time_field(view_name: str) -> bytes:
    return b"_ts:" + view_name.encode()


@cache
def _feature_fields(view_name: str, features: tuple[str, ...]) -> bytes:
    return b"".join(_feature_field(view_name, feature) for feature in features)


@cache
def _feature_field(view_name: str, feature: str) -> bytes:
    """Feast's name of the field: four bytes of MurmurHash3."""
    return struct.pack("<I", mmh3.hash(f"{view_name}:{feature}", signed=False))


# All views of an entity change at the same moment.
@lru_cache(maxsize=10_000)
def _timestamp(event_us: int) -> bytes:
    seconds, rest = divmod(event_us, 1_000_000)
    written: bytes = Timestamp(seconds=seconds, nanos=rest * 1000).SerializeToString()
    return written


def _in_parts(things: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(things)
    while part := list(islice(remaining, _IN_A_PIPELINE)):
        yield part

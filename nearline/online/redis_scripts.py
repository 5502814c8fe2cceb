"""What Redis does in one step: Lua that compares and then writes or removes.

Belongs here: the scripts, and the format of the clock that they keep. Each touches one
key alone, so that they run on a cluster as they do on one server.

In the hash of an entity, Feast keeps a field per feature and `_ts:<view>`, the event
time as a protobuf Timestamp. Beside them stands our clock of the view, a field that
Feast's client never asks for:

    event_us, created_us     8 bytes each, big-endian, signed
    fingerprint              1 byte that says whether there is one, then 8 bytes
    length of the time       1 byte, then `_ts:<view>` as it was written with this clock
    features                 4 bytes each, the names of the fields that are held

Where `_ts:<view>` is not what the clock says, somebody wrote past it, and the time is
what `_ts:<view>` says. Numbers are Lua's, exact up to 2^53: in microseconds, the year
2255. Fingerprints are compared as bytes.
"""

import struct

_HEAD = struct.Struct(">qqB8sB")

_STORED = """
local function varint(text, at)
    local value, scale = 0, 1
    while true do
        local byte = string.byte(text, at)
        value = value + (byte % 128) * scale
        at = at + 1
        if byte < 128 then return value, at end
        scale = scale * 128
    end
end
local function timestamp_us(text)
    local seconds, nanos, at = 0, 0, 1
    while at <= #text do
        local tag = string.byte(text, at)
        local value
        value, at = varint(text, at + 1)
        if value >= 2^63 then value = value - 2^64 end
        if tag == 8 then seconds = value elseif tag == 16 then nanos = value end
    end
    return seconds * 1000000 + math.floor(nanos / 1000)
end
-- The moment and fingerprint that are stored; no created time where it is not known.
local function stored(key, clock_field, time_field)
    local found = redis.call('HMGET', key, clock_field, time_field)
    local clock, time = found[1], found[2]
    if not time then return nil end
    if clock then
        local length = string.byte(clock, 26)
        if string.sub(clock, 27, 26 + length) == time then
            local event, created = struct.unpack('>i8>i8', clock)
            return event, created, string.sub(clock, 17, 25), clock
        end
    end
    return timestamp_us(time), nil, nil, clock
end
local function fields_of(clock)
    return string.sub(clock, 27 + string.byte(clock, 26))
end
"""

WRITE = (
    _STORED
    + """
-- ARGV: clock field, time field, event, created, new clock, time, {field, value}...
local event, created = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = ARGV[5]
local old_event, old_created, old_print, old_clock =
    stored(KEYS[1], ARGV[1], ARGV[2])
if old_event then
    if event < old_event then return 0 end
    if event == old_event and old_created then
        if created < old_created then return 0 end
        local print = string.sub(clock, 17, 25)
        if created == old_created and string.byte(print) == 1 and print == old_print then
            return 0
        end
    end
end
-- Fields of the view that this writer does not know stay, and stay known.
if old_clock then
    local mine, theirs = fields_of(clock), fields_of(old_clock)
    if mine ~= theirs then
        local known = {}
        for at = 1, #mine, 4 do known[string.sub(mine, at, at + 3)] = true end
        for at = 1, #theirs, 4 do
            local field = string.sub(theirs, at, at + 3)
            if not known[field] then clock = clock .. field end
        end
    end
end
redis.call('HSET', KEYS[1], ARGV[1], clock, ARGV[2], unpack(ARGV, 6))
return 1
"""
)
"""Writes one view of one entity where it is newer; returns 1 if it did, else 0."""

REMOVE = (
    _STORED
    + """
-- ARGV: clock field, time field, event time before which to remove or '', field...
local event, _, _, clock = stored(KEYS[1], ARGV[1], ARGV[2])
if event and ARGV[3] ~= '' and event >= tonumber(ARGV[3]) then
    return string.format('%.0f', event)
end
if not event then clock = redis.call('HGET', KEYS[1], ARGV[1]) end
local fields = { ARGV[1], ARGV[2], unpack(ARGV, 4) }
if clock then
    local held = fields_of(clock)
    for at = 1, #held, 4 do fields[#fields + 1] = string.sub(held, at, at + 3) end
end
redis.call('HDEL', KEYS[1], unpack(fields))
if event then return 1 end
return 0
"""
)
"""Removes one view of one entity, whatever else is known of the entity staying.

Returns 1 if there was one, 0 if not, or as text the event time of a value that was too
young to be removed."""

FORGET_IF_UNCHANGED = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) == tonumber(ARGV[2]) then
    return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
"""
"""Takes an entity out of the order of expiry, unless somebody wrote it meanwhile."""


def encode_clock(
    event_us: int,
    created_us: int,
    fingerprint: int | None,
    time: bytes,
    fields: bytes,
) -> bytes:
    """A clock, with `time` as Feast's field holds it."""
    has = fingerprint is not None
    printed = struct.pack(">q", fingerprint) if has else bytes(8)
    head = _HEAD.pack(event_us, created_us, has, printed, len(time))
    return head + time + fields


def decode_clock(clock: bytes) -> tuple[int, int, int | None, bytes]:
    """Event and created time, fingerprint, and the time as Feast's field held it."""
    event_us, created_us, has, printed, length = _HEAD.unpack_from(clock)
    fingerprint = struct.unpack(">q", printed)[0] if has else None
    return event_us, created_us, fingerprint, clock[_HEAD.size : _HEAD.size + length]

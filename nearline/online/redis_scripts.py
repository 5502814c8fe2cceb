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
local function time_of(clock)
    return string.sub(clock, 27, 26 + string.byte(clock, 26))
end
local function fields_of(clock)
    return string.sub(clock, 27 + string.byte(clock, 26))
end
-- The moment and fingerprint that are stored; no created time where it is not known.
local function moment_of(clock, time)
    if not time then return nil end
    if clock and time_of(clock) == time then
        local event, created = struct.unpack('>i8>i8', clock)
        return event, created, string.sub(clock, 17, 25)
    end
    return timestamp_us(time)
end
"""

WRITE = (
    _STORED
    + """
-- ARGV: {clock field, time field, new clock, a value for each of the clock's fields}...
local function is_newer(clock, old_clock, old_time)
    local old_event, old_created, old_print = moment_of(old_clock, old_time)
    if not old_event then return true end
    local event, created = struct.unpack('>i8>i8', clock)
    if event ~= old_event then return event > old_event end
    if not old_created or created ~= old_created then
        return not old_created or created > old_created
    end
    local print = string.sub(clock, 17, 25)
    return string.byte(print) == 0 or print ~= old_print
end
-- Fields of the view that this writer does not know stay, and stay known.
local function with_fields_of(clock, old_clock)
    local mine, theirs = fields_of(clock), fields_of(old_clock)
    if mine == theirs then return clock end
    local known = {}
    for at = 1, #mine, 4 do known[string.sub(mine, at, at + 3)] = true end
    for at = 1, #theirs, 4 do
        local field = string.sub(theirs, at, at + 3)
        if not known[field] then clock = clock .. field end
    end
    return clock
end
local starts, asked = {}, {}
local at = 1
while at <= #ARGV do
    starts[#starts + 1] = at
    asked[#asked + 1], asked[#asked + 2] = ARGV[at], ARGV[at + 1]
    at = at + 3 + #fields_of(ARGV[at + 2]) / 4
end
local found = redis.call('HMGET', KEYS[1], unpack(asked))
local words, written = {}, 0
for n, at in ipairs(starts) do
    local clock, old_clock, old_time = ARGV[at + 2], found[2 * n - 1], found[2 * n]
    if is_newer(clock, old_clock, old_time) then
        local fields = fields_of(clock)
        words[#words + 1], words[#words + 2] = ARGV[at + 1], time_of(clock)
        for number = 1, #fields / 4 do
            words[#words + 1] = string.sub(fields, 4 * number - 3, 4 * number)
            words[#words + 1] = ARGV[at + 2 + number]
        end
        if old_clock then clock = with_fields_of(clock, old_clock) end
        words[#words + 1], words[#words + 2] = ARGV[at], clock
        written = written + 1
    end
end
if written > 0 then redis.call('HSET', KEYS[1], unpack(words)) end
return written
"""
)
"""Writes those views of one entity that are newer; returns how many. Each view once."""

REMOVE = (
    _STORED
    + """
-- ARGV: clock field, time field, event time before which to remove or '', field...
local found = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[2])
local clock, event = found[1], moment_of(found[1], found[2])
if event and ARGV[3] ~= '' and event >= tonumber(ARGV[3]) then
    return string.format('%.0f', event)
end
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

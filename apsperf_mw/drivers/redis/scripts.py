"""What Redis does in one step: Lua scripts, each on the keys of one slot, but `look` and `hold`.

A space of versions is a hash (g: generation, p: position, f: floor) and a sorted set of its names
by position. The server may evict either of them at any moment: without the hash a new generation
begins, and where the set is gone all that it may have told is at or before the floor.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple


class Script(NamedTuple):
    """A script, and the name under which the server keeps it."""

    source: bytes
    digest: bytes


def script(source: str) -> Script:
    """The script of a source."""
    text = source.strip().encode("ascii")
    return Script(text, sha1(text, usedforsecurity=False).hexdigest().encode("ascii"))


# KEYS: value, hash. Both keys may be of different slots: not for clusters.
LOOK = script("""
local space = redis.call('HMGET', KEYS[2], 'g', 'p')
return {redis.call('GET', KEYS[1]), space[1], space[2]}
""")

# KEYS: value. With how many milliseconds it has left.
HOLD = script("""
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
""")

# KEYS: value, hash. `hold` and `look` in one.
HOLD_LOOK = script("""
local space = redis.call('HMGET', KEYS[2], 'g', 'p')
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), space[1], space[2]}
""")

# KEYS: lease, value. ARGV: token, value, milliseconds (0: keep nothing).
COMMIT = script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
redis.call('DEL', KEYS[1])
return 1
""")

# KEYS: lease. ARGV: token.
RELEASE = script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")

# KEYS: hash, set. ARGV: generation to begin, most names, milliseconds, names.
BUMP = script("""
local position = redis.call('HINCRBY', KEYS[1], 'p', 1)
if position == 1 then
  redis.call('HSET', KEYS[1], 'g', ARGV[1], 'f', 0)
  redis.call('DEL', KEYS[2])
elseif redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[1], 'f', position - 1)
end
for i = 4, #ARGV do
  redis.call('ZADD', KEYS[2], position, ARGV[i])
end
local most = tonumber(ARGV[2])
local names = redis.call('ZCARD', KEYS[2])
if names > most then
  local cut = names - math.floor(most / 2)
  local last = redis.call('ZRANGE', KEYS[2], cut - 1, cut - 1, 'WITHSCORES')
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, cut - 1)
  redis.call('HSET', KEYS[1], 'f', last[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('HMGET', KEYS[1], 'g', 'p', 'f')
""")

# KEYS: hash, set. ARGV: the position after which.
VERSIONS = script("""
local space = redis.call('HMGET', KEYS[1], 'g', 'p', 'f')
if not space[1] then return {false, false, false, {}} end
if redis.call('EXISTS', KEYS[2]) == 0 then space[3] = space[2] end
local bumps = {}
if tonumber(ARGV[1]) < tonumber(space[2]) then
  bumps = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES')
end
return {space[1], space[2], space[3], bumps}
""")

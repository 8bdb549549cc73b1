"""Every command that the driver gives, and how its reply reads. Pure: no connection is known here.

A key `k` is kept under `apsperf{k}`, its lease under `apsperf{k}l`; a space `s` under
`apsperf{s}v` and `apsperf{s}n`. What is between the braces chooses a cluster's node, so that all
that one script touches is in one place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from apsperf_mw.drivers.redis.scripts import (
    BUMP,
    COMMIT,
    HOLD,
    HOLD_LOOK,
    LOOK,
    RELEASE,
    VERSIONS,
)
from apsperf_mw.drivers.versions import MOST_NAMES, TABLE_TTL_S, Look, Versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.drivers.near import Name
    from apsperf_mw.drivers.redis.scripts import Script

OURS = b"apsperf{"
# Where changes are told that the server does not tell of itself.
VOIDS = b"apsperf:void"
VALUE, LEASE, HASH, NAMES = b"}", b"}l", b"}v", b"}n"
# Longer is cut: a year and some, as long as anything is kept.
MOST_TTL_MS = int(TABLE_TTL_S * 1000)
SCAN_COUNT = 1000

Reply = Any


class Command(NamedTuple):
    """What is sent; `key` says which node of a cluster it concerns, None that any will do."""

    args: tuple[bytes | int, ...]
    key: bytes | None
    script: Script | None = None

    def known(self) -> Command:
        """The command with its script's source, for a server that may not know it."""
        if self.script is None:
            return self
        return Command((b"EVAL", self.script.source, *self.args[2:]), self.key)


class Held(NamedTuple):
    """A value, and for how many seconds it is good."""

    value: bytes
    ttl_s: float


def name(key: bytes, kind: bytes = VALUE) -> bytes:
    """Where Redis keeps it. Braces with nothing in between would choose no slot: escaped."""
    return OURS + _escaped(key) + kind


def key_of(found: bytes) -> tuple[bytes, bytes]:
    """The key or space, and the kind, of a name; an empty kind where it is not one of ours."""
    for kind in (VALUE, LEASE, HASH, NAMES):
        if found.startswith(OURS) and found.endswith(kind):
            key = found[len(OURS) : -len(kind)]
            return key.removeprefix(b"\\"), kind
    return b"", b""


def _escaped(key: bytes) -> bytes:
    return b"\\" + key if not key or key[:1] in (b"}", b"\\") else key


def px(ttl_s: float) -> int:
    """Whole milliseconds; 0 where nothing is to be kept."""
    if not ttl_s > 0:  # NaN too
        return 0
    return max(1, int(min(ttl_s * 1000, MOST_TTL_MS)))


def evaluated(script: Script, keys: tuple[bytes, ...], *args: bytes | int) -> Command:
    """A call of a script that the server is likely to know."""
    return Command((b"EVALSHA", script.digest, len(keys), *keys, *args), keys[0], script)


def get(key: bytes) -> Command:
    """Replies the value or None."""
    place = name(key)
    return Command((b"GET", place), place)


def put(key: bytes, value: bytes, ttl_s: float) -> Command:
    """Replies whether the value is kept, by `was_kept`."""
    place, ttl_ms = name(key), px(ttl_s)
    if not ttl_ms:
        return Command((b"DEL", place), place)
    return Command((b"SET", place, value, b"PX", ttl_ms), place)


def put_new(key: bytes, value: bytes, ttl_s: float, kind: bytes = VALUE) -> Command:
    """Replies whether the value is kept, by `was_kept`."""
    place, ttl_ms = name(key, kind), px(ttl_s)
    if not ttl_ms:
        return Command((b"EXISTS", place), place)
    return Command((b"SET", place, value, b"NX", b"PX", ttl_ms), place)


def was_kept(reply: Reply) -> bool:
    """The answer of `put` and `put_new`: a count where there was nothing to keep."""
    return bool(reply == b"OK")


def drop(key: bytes) -> Command:
    """Replies how many there were."""
    place = name(key)
    return Command((b"DEL", place), place)


def void(key: bytes) -> Command:
    """The value and its lease."""
    place = name(key)
    return Command((b"DEL", place, name(key, LEASE)), place)


def commit(key: bytes, token: bytes, value: bytes, ttl_s: float) -> Command:
    """Replies 1 where the lease was held."""
    return evaluated(COMMIT, (name(key, LEASE), name(key)), token, value, px(ttl_s))


def release(key: bytes, token: bytes) -> Command:
    """Replies 1 where the lease was held."""
    return evaluated(RELEASE, (name(key, LEASE),), token)


def bump(space: bytes, names: Sequence[bytes], generation: bytes) -> Command:
    """Its reply is read by `bumped`."""
    keys = (name(space, HASH), name(space, NAMES))
    return evaluated(BUMP, keys, generation, MOST_NAMES, MOST_TTL_MS, *names)


def bumped(reply: Reply) -> Versions:
    """The reply of `bump`."""
    generation, position, floor = reply
    return Versions(generation, int(position), int(floor))


def versions(space: bytes, after: int) -> Command:
    """Its reply is read by `told`."""
    return evaluated(VERSIONS, (name(space, HASH), name(space, NAMES)), after)


def told(reply: Reply) -> Versions:
    """The reply of `versions`."""
    generation, position, floor, flat = reply
    if generation is None:
        return Versions(b"", 0, 0)
    bumps = tuple((flat[at], int(flat[at + 1])) for at in range(0, len(flat), 2))
    return Versions(generation, int(position), int(floor), bumps)


def look(key: bytes, space: bytes) -> Command:
    """Its reply is read by `looked`."""
    return evaluated(LOOK, (name(key), name(space, HASH)))


def looked(reply: Reply) -> Look:
    """The reply of `look`."""
    value, generation, position = reply
    return Look(value, generation or b"", int(position or 0))


def hold(key: bytes) -> Command:
    """Its reply is read by `held`."""
    return evaluated(HOLD, (name(key),))


def held(reply: Reply) -> Held | None:
    """The reply of `hold`; what has no time to live was not put there by us."""
    value, left_ms = reply
    return None if value is None or left_ms <= 0 else Held(value, left_ms / 1000)


def hold_look(key: bytes, space: bytes) -> Command:
    """Its reply is read by `held_looked`."""
    return evaluated(HOLD_LOOK, (name(key), name(space, HASH)))


def held_looked(reply: Reply) -> tuple[Held | None, Look]:
    """The reply of `hold_look`."""
    value, left_ms, *space = reply
    return held((value, left_ms)), looked((value, *space))


def scan(cursor: bytes, prefix: bytes) -> Command:
    """Replies the next cursor and some names under the prefix."""
    pattern = OURS + (_escaped(prefix) if prefix else b"")
    return Command(
        (b"SCAN", cursor, b"MATCH", _literal(pattern) + b"*", b"COUNT", SCAN_COUNT), None
    )


def _literal(text: bytes) -> bytes:
    """The text as a pattern that matches nothing else."""
    for special in (b"\\", b"*", b"?", b"["):
        text = text.replace(special, b"\\" + special)
    return text


def unlink(places: Sequence[bytes]) -> list[Command]:
    """Forget names, each in its own command: they may be of different slots."""
    return [Command((b"UNLINK", place), place) for place in places]


def publish(channel: bytes, message: bytes) -> Command:
    """A message to whoever listens; a paused server does not answer it, as it would a PING."""
    return Command((b"PUBLISH", channel, message), None)


def announce(names: Sequence[Name]) -> list[Command]:
    """Messages to all who keep copies: these have changed."""
    return [publish(VOIDS, name_of(each)) for each in names]


def name_of(near: Name) -> bytes:
    """Where Redis keeps what copies have under this name."""
    return name(near) if isinstance(near, bytes) else name(near[1], HASH)


SIZE = Command((b"DBSIZE",), None)
MEMORY = Command((b"INFO", b"memory"), None)
SLOTS = Command((b"CLUSTER", b"SLOTS"), None)


def used_memory(reply: Reply) -> int:
    """The bytes that a server says it uses."""
    for line in bytes(reply).splitlines():
        if line.startswith(b"used_memory:"):
            return int(line.partition(b":")[2])
    return 0

"""Bare and wrapped side by side: what may differ, and what must not."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from tests.apps.servers import ask

if TYPE_CHECKING:
    from apsperf_mw.testing.messages import Reply
    from tests.apps.servers import Case

    Shown = tuple[int, list[tuple[str, str]], bytes]

OURS = frozenset({"age", "cache-status"})
# A stored stream has its length in place of its framing.
FRAMING = frozenset({"content-length", "transfer-encoding"})


class Pair(Struct, frozen=True):
    """The ports of one app without and with a suite; `noise` matches what differs by itself."""

    bare: int
    wrapped: int
    noise: re.Pattern[bytes]
    noisy_fields: frozenset[str] = frozenset({"date"})

    def check(self, case: Case) -> None:
        """The wrapped app answers as the bare one, twice, the second time as the case says."""
        expected = ask(self.bare, case)
        first, second = ask(self.wrapped, case), ask(self.wrapped, case)
        assert not first.cache.hit
        assert self.shown(first) == self.shown(expected)
        assert second.cache.hit == case.hits, second.lines("cache-status")
        if case.hits:
            assert self.shown(second, FRAMING) == self.shown(expected, FRAMING)
            assert second.body == first.body
            assert second.header("content-length") == str(len(second.body))
            assert len(second.lines("date")) == 1
        else:
            assert self.shown(second) == self.shown(expected)

    def shown(self, reply: Reply, without: frozenset[str] = frozenset()) -> Shown:
        """What a client sees, but for noise and the fields that we add."""
        hidden = OURS | self.noisy_fields | without
        fields = [(name.decode().lower(), value.decode("latin-1")) for name, value in reply.headers]
        body = reply.body
        if reply.header("content-encoding") == "gzip" and body:
            body = gzip.decompress(body)  # its head bears the time of day
        return reply.status, [f for f in fields if f[0] not in hidden], self.noise.sub(b"-", body)

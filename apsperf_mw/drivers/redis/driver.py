"""The Redis driver: both faces over one set of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from apsperf_mw.drivers.redis import commands
from apsperf_mw.drivers.redis.awaiting import Awaiting
from apsperf_mw.drivers.redis.blocking import Blocking
from apsperf_mw.drivers.redis.calls import Calls
from apsperf_mw.drivers.redis.dialing import require
from apsperf_mw.drivers.redis.options import Options
from apsperf_mw.drivers.redis.turns import Turns

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager


class RedisDriver(Blocking, Awaiting):
    """Keeps values in Redis 6.2 or newer, or Valkey; each verb is atomic there.

    A server that does not answer costs the first few calls their time-out and then nobody: each
    call raises `DriverDown` at once until a probe in the background was answered. A value larger
    than `max_value_bytes` is declined.
    """

    blocks: ClassVar[bool] = True
    suspends: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        require()
        self.calls = Calls(options)
        self._call = self.calls.call
        self._turns = Turns()
        self._most = options.limits.max_value_bytes

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`redis://user:password@host:6379/0?timeout_s=0.1`; also `rediss://` (TLS).

        `unix:///path`, `redis+cluster://host:port,host:port` and
        `redis+sentinel://host,host/master/0` too; `Limits` lists the options.
        """
        return cls(Options.read(url))

    def __repr__(self) -> str:
        return f"<RedisDriver {self.calls.options.place}>"

    async def aclear(self, prefix: bytes = b"") -> None:
        """As `clear`, in a worker thread."""
        from apsperf_mw.runtime.loop import hop

        await hop(self.clear, prefix)

    def close(self) -> None:
        """Close the connections that threads have used; may come twice."""
        self.calls.routes.close()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        from apsperf_mw.runtime.loop import under_trio

        if not under_trio():
            await self.calls.aclose()

    def exclusive(self) -> AbstractContextManager[object]:
        """Keeps out those that ask for it too, and no others: each verb is atomic by itself.

        It ends by itself after ten seconds.
        """
        return self._turns.take(self._call)

    def aexclusive(self) -> AbstractAsyncContextManager[object]:
        """As `exclusive`."""
        return self._turns.atake(self._acall)

    def stats(self) -> dict[str, int]:
        """`entries` and `size_bytes` of the whole server, which others may use too; `faults`."""
        servers = self.calls.routes.masters()
        return {
            "entries": sum(self.calls.call_all(commands.SIZE)),
            "size_bytes": sum(map(commands.used_memory, self.calls.call_all(commands.MEMORY))),
            "faults": sum(server.faults for server in servers),
        }

    @property
    def down(self) -> bool:
        """Whether something is known to be down, so that calls raise at once."""
        return self.calls.routes.ailing()

"""What the driver uses of redis-py's connections, as types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.drivers.redis.commands import Reply

    Word = bytes | int | str


class Link(Protocol):
    """A connection for threads; `era` is ours."""

    era: int

    @property
    def is_connected(self) -> bool:
        """Whether it has a socket."""
        ...

    def send_command(self, *words: Word, check_health: bool) -> None:
        """Send one command; connects where there is no socket."""
        ...

    def send_packed_command(self, packed: list[bytes], check_health: bool) -> None:
        """Send what `pack_commands` gave."""
        ...

    def pack_commands(self, commands: Sequence[Sequence[Word]]) -> list[bytes]:
        """Several commands as bytes."""
        ...

    def read_response(self, **how: Any) -> Reply:
        """The next reply; a refusal is raised."""
        ...

    def can_read(self) -> bool:
        """Whether something waits to be read, or raise that the other side has gone."""
        ...

    def disconnect(self) -> None:
        """Close the socket."""
        ...

    def _get_parser(self) -> Any:
        """What reads the replies."""
        ...


class TaskLink(Protocol):
    """A connection for tasks of asyncio; `era` is ours."""

    era: int

    async def connect(self) -> None:
        """Connect, unless it is."""
        ...

    async def send_command(self, *words: Word, check_health: bool) -> None:
        """Send one command; connects where there is no socket."""
        ...

    async def send_packed_command(self, packed: list[bytes], check_health: bool) -> None:
        """Send what `pack_commands` gave."""
        ...

    def pack_commands(self, commands: Sequence[Sequence[Word]]) -> list[bytes]:
        """Several commands as bytes."""
        ...

    async def read_response(self) -> Reply:
        """The next reply; a refusal is raised."""
        ...

    async def can_read(self) -> bool:
        """Whether something waits to be read, or raise that the other side has gone."""
        ...

    async def disconnect(self, *, nowait: bool) -> None:
        """Close the socket."""
        ...

"""What a Redis URL says: where the servers are, who asks, and how long anybody waits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote

from msgspec import Struct, field

from apsperf_mw.errors import DriverError
from apsperf_mw.settings.masking import shown

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = 6379
SENTINEL_PORT = 26379
MIB = 1024 * 1024

# What stands before `://`: the shape of the deployment, and whether it speaks TLS.
SHAPES = {
    "redis": ("one", False),
    "rediss": ("one", True),
    "unix": ("unix", False),
    "redis+unix": ("unix", False),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
}


class Address(NamedTuple):
    """Where a server listens: a host and port, or the path of a socket with port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Limits(Struct, frozen=True, kw_only=True):
    """The options behind the `?` of a URL; times are seconds.

    `faults` in a row make a server count as down; from then on nobody waits for it, and it is
    asked in the background every `probe_s` whether it is back.
    """

    connect_timeout_s: float = 0.25
    timeout_s: float = 0.1
    max_connections: int = 32
    max_value_bytes: int = 16 * MIB
    faults: int = 3
    probe_s: float = 0.2
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify: bool = True
    sentinel_username: str = ""
    sentinel_password: str = ""

    def __repr__(self) -> str:
        shown = (name for name in self.__struct_fields__ if "password" not in name)
        return f"<{', '.join(f'{name}={getattr(self, name)!r}' for name in shown)}>"


class Options(Struct, frozen=True, kw_only=True):
    """A whole URL; its text form shows no password."""

    scheme: str
    shape: str
    tls: bool
    addresses: tuple[Address, ...]
    username: str = ""
    password: str = ""
    master: str = ""
    db: int = 0
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def read(cls, url: str) -> Self:
        """The options of a URL; `DriverError` naming the part that is wrong."""
        made: Self = _read(cls, url)
        return made

    def __repr__(self) -> str:
        return f"<{self.place}>"

    @property
    def place(self) -> str:
        """The URL as errors may show it: without user, password and options."""
        return f"{self.scheme}://{','.join(map(str, self.addresses))}"


def _read(made: type[Options], url: str) -> Any:
    scheme, _, rest = url.partition("://")
    if scheme not in SHAPES:
        raise DriverError(f"{shown(url)}: accepted: {', '.join(f'{name}://' for name in SHAPES)}")
    shape, tls = SHAPES[scheme]
    # The last @ counts, since a raw password may hold @, / and ?; behind it, it is written %40.
    user, _, where = rest.rpartition("@")
    where, _, query = where.partition("?")
    username, _, password = user.partition(":")
    hosts, master, path = _parts(scheme, shape, where)
    return made(
        scheme=scheme,
        shape=shape,
        tls=tls,
        addresses=_addresses(scheme, shape, hosts),
        username=unquote(username),
        password=unquote(password),
        master=unquote(master),
        db=_db(scheme, shape, path or dict(parse_qsl(query)).get("db", "")),
        limits=_limits(scheme, query),
    )


def _parts(scheme: str, shape: str, where: str) -> tuple[str, str, str]:
    """The hosts or the socket, the master's name, and what should be the number of a db."""
    if shape == "unix":
        return where, "", ""
    hosts, _, path = where.partition("/")
    if shape != "sentinel":
        return hosts, "", path
    master, _, path = path.partition("/")
    if not master:
        raise DriverError(f"{scheme}://{hosts} names no master; accepted: {scheme}://host/NAME/0")
    return hosts, master, path


def _addresses(scheme: str, shape: str, hosts: str) -> tuple[Address, ...]:
    if shape == "unix":
        if not hosts.startswith("/"):
            raise DriverError(f"{scheme}://{hosts}: accepted: {scheme}:///path/of/the/socket")
        return (Address(unquote(hosts), 0),)
    usual = SENTINEL_PORT if shape == "sentinel" else PORT
    found = tuple(_address(scheme, host, usual) for host in hosts.split(","))
    if shape == "one" and len(found) > 1:
        raise DriverError(
            f"{scheme}://{hosts} names several servers; accepted: one, or them under "
            f"{scheme}+cluster:// or {scheme}+sentinel://"
        )
    return found


def _address(scheme: str, text: str, usual: int) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(usual)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise DriverError(f"{scheme}://{text}: port {port!r}; accepted: 1 to 65535")
    return Address(host.strip("[]") or "localhost", int(port))


def _db(scheme: str, shape: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise DriverError(f"{scheme}://: db is {text!r}; accepted: a whole number, as in /0")
    if shape == "cluster" and int(text):
        raise DriverError(f"{scheme}://: db is {text!r}; a cluster has only db 0")
    return int(text)


def _limits(scheme: str, query: str) -> Limits:
    names = Limits.__struct_fields__
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name == "db":
            continue
        if name not in names:
            raise DriverError(
                f"{scheme}://: unknown option {shown(name)}; accepted: db, {', '.join(names)}"
            )
        read, accepted = READERS[type(getattr(NO_LIMITS, name))]
        given[name] = read(text)
        if given[name] is None:
            raise DriverError(f"{scheme}://: {name} is {shown(text)}; accepted: {accepted}")
    return Limits(**given)


def _seconds(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _flag(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


NO_LIMITS = Limits()
READERS: dict[type, tuple[Callable[[str], object], str]] = {
    float: (_seconds, "seconds above 0"),
    int: (_count, "a whole number above 0"),
    bool: (_flag, "true or false"),
    str: (str, "text"),
}

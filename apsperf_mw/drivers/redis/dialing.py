"""Connections of redis-py, as the options want them; the library loads when the first is made.

Its clients, pools, retries and notices are not used: time-outs and faults are the driver's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.errors import DriverDown, DriverError

if TYPE_CHECKING:
    from apsperf_mw.drivers.redis.links import Link, TaskLink
    from apsperf_mw.drivers.redis.options import Address, Options


def require() -> None:
    """`DriverError` where redis-py is missing or too old."""
    try:
        import redis
    except ImportError as fault:
        raise DriverError(
            "the redis driver needs redis-py: pip install 'apsperf-mw[redis]'"
        ) from fault
    if int(redis.__version__.partition(".")[0]) < 8:
        raise DriverError(f"the redis driver needs redis-py 8 or newer; found {redis.__version__}")


def connection(options: Options, address: Address, *, protocol: int = 2) -> Link:
    """A connection for threads that connects at its first command."""
    from redis import connection as kinds

    made = _settings(options, address, protocol)
    made["socket_timeout"] = options.limits.timeout_s
    return _kind(kinds, options, address)(**made)  # type: ignore[no-any-return]


def async_connection(options: Options, address: Address) -> TaskLink:
    """A connection for tasks of asyncio. Its caller bounds each call; it has no time-out itself."""
    from redis.asyncio import connection as kinds

    made = _settings(options, address, 2)
    made["socket_timeout"] = None
    return _kind(kinds, options, address)(**made)  # type: ignore[no-any-return]


def _kind(kinds: Any, options: Options, address: Address) -> Any:
    if not address.port:
        return kinds.UnixDomainSocketConnection
    return kinds.SSLConnection if options.tls else kinds.Connection


def _settings(options: Options, address: Address, protocol: int) -> dict[str, Any]:
    where = {"host": address.host, "port": address.port} if address.port else {"path": address.host}
    return {
        **where,
        **(_tls(options) if options.tls and address.port else {}),
        "username": options.username or None,
        "password": options.password or None,
        "db": options.db,
        "socket_connect_timeout": options.limits.connect_timeout_s,
        "protocol": protocol,
        "driver_info": None,
    }


def _tls(options: Options) -> dict[str, Any]:
    limits = options.limits
    return {
        "ssl_ca_certs": limits.ca_file or None,
        "ssl_certfile": limits.cert_file or None,
        "ssl_keyfile": limits.key_file or None,
        "ssl_cert_reqs": "required" if limits.verify else "none",
        "ssl_check_hostname": limits.verify,
    }


def fault_of(fault: BaseException, place: object) -> DriverError | None:
    """What went wrong as the driver says it; None for what is not the server's.

    `DriverDown` where it did not answer, a plain `DriverError` where it refused.
    """
    from redis import exceptions as found

    if isinstance(fault, TimeoutError | found.TimeoutError):
        return DriverDown(f"redis at {place} did not answer in time")
    if isinstance(fault, found.ConnectionError | found.InvalidResponse | OSError | EOFError):
        return DriverDown(f"redis at {place} cannot be used: {fault}")
    if isinstance(fault, found.RedisError):
        return DriverError(f"redis at {place} refuses: {fault}")
    return None


def is_fault(fault: BaseException, name: str) -> bool:
    """Whether it is redis-py's exception of that name, without loading anything twice."""
    from redis import exceptions

    return isinstance(fault, getattr(exceptions, name))

"""The settings tree: every setting with its type, bounds, default and meaning.

The bounds are checked by `load`; a `Struct` made directly is trusted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from apsperf_mw.settings.cache import CacheSettings
from apsperf_mw.settings.kinds import (
    DriverName,
    Drivers,
    Path,
    Ratio,
    Token,
    TTLSettings,
    Wait,
)
from apsperf_mw.settings.observing import (
    ExporterSettings,
    HealthSettings,
    LoggingSettings,
    MemorySettings,
    ProfilingSettings,
    PrometheusSettings,
    TimingSettings,
    TracingSettings,
)


class AdminSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin endpoint."""

    enabled: Annotated[
        bool, Meta(description="Answer purges and questions below `admin.path`; needs a token.")
    ] = False
    path: Annotated[
        Path, Meta(description="Where the endpoint is, seen from the app's mount point.")
    ] = "/-/apsperf"
    token: Annotated[
        Token, Meta(description="Who sends it as `Authorization: Bearer` may do all of this.")
    ] = ""
    http_purge: Annotated[
        bool, Meta(description="Take the method `PURGE` on any URL, with the token.")
    ] = False


# As a token, but for what parts the values of an environment variable or begins a list in it.
_Key = Annotated[str, Meta(pattern=r"\A(?!\[)[!-+\--~]{16,512}\Z")]
Keys = Annotated[
    tuple[_Key, ...],
    Meta(
        title="list of texts of 16 to 512 visible characters, with no comma and no [ at the start",
        extra={"secret": True},
    ),
]


class SealedSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Drivers whose URL begins with `sealed+`."""

    keys: Annotated[
        Keys, Meta(description="Secrets of sealed drivers: the first seals, all of them open.")
    ] = ()
    encrypt: Annotated[
        bool, Meta(description="Encipher what sealed drivers keep; needs `apsperf-mw[crypto]`.")
    ] = False


class DatabaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Statements, and the cache of query results."""

    driver: Annotated[
        DriverName | None,
        Meta(
            description="In-process driver of query results; unset: that of `default`, or memory."
        ),
    ] = None
    record: Annotated[
        bool, Meta(description="Note what the statements of Django's connections cost.")
    ] = True
    max_connections: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)],
        Meta(description="Connections of an engine made by `create_engine` at most."),
    ] = 50
    connection_timeout: Annotated[
        Wait, Meta(description="Seconds that it waits for one of them.")
    ] = 10.0
    ping_idle_s: Annotated[
        Wait, Meta(description="A connection that was idle for longer is tried before it is used.")
    ] = 30.0
    leak_s: Annotated[
        Wait, Meta(description="A connection that is held for longer is told of; 0: none is.")
    ] = 60.0
    prepare: Annotated[
        Literal["auto", "always", "never"],
        Meta(description="Have PostgreSQL prepare statements; `auto`: not behind a pooler."),
    ] = "auto"
    prepare_after: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)],
        Meta(description="Executions by one psycopg connection after which it is prepared."),
    ] = 5
    prepared_statements: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)],
        Meta(description="Prepared statements that each connection keeps at most."),
    ] = 100
    samples: Annotated[
        bool, Meta(description="Keep one statement of each shape, with its values, for advice.")
    ] = True
    unused_loads: Annotated[
        Ratio,
        Meta(description="Share of loads watched for relations and wide columns nobody looks at."),
    ] = 0.0
    depends: Annotated[
        bool, Meta(description="Have a commit make void what was made of the tables it wrote.")
    ] = True
    rows: Annotated[
        bool,
        Meta(
            description="Have what was read by primary keys depend on those rows, not their tables."
        ),
    ] = False
    notify: Annotated[
        bool,
        Meta(description="Have PostgreSQL tell other processes of each commit (NOTIFY)."),
    ] = False
    cache_all: Annotated[
        bool, Meta(description="Keep the rows of any query that is worth it, not only where asked.")
    ] = False
    query_ttl: Annotated[
        Literal["short", "medium", "long"], Meta(description="For how long rows are kept at most.")
    ] = "medium"
    query_cache_limit: Annotated[
        Annotated[int, Meta(ge=1, le=1_048_576)],
        Meta(description="Rows of one query that take more, in KB, are not kept."),
    ] = 1024


def _memory_driver() -> dict[str, str]:
    return {"memory": "memory://?max_bytes=67108864&max_entries=65536"}


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one suite."""

    default: Annotated[DriverName, Meta(description="Driver that every layer uses.")] = "memory"
    drivers: Drivers = field(default_factory=_memory_driver)
    ttl: TTLSettings = TTLSettings()
    cache: CacheSettings = CacheSettings()
    admin: AdminSettings = AdminSettings()
    sealed: SealedSettings = SealedSettings()
    database: DatabaseSettings = DatabaseSettings()
    timing: TimingSettings = TimingSettings()
    memory: MemorySettings = MemorySettings()
    tracing: TracingSettings = TracingSettings()
    exporter: ExporterSettings = ExporterSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    logging: LoggingSettings = LoggingSettings()
    profiling: ProfilingSettings = ProfilingSettings()
    health: HealthSettings = HealthSettings()

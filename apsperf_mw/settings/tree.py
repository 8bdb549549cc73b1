"""The settings tree: every setting with its type, bounds, default and meaning.

The bounds are checked by `load`; a `Struct` made directly is trusted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from apsperf_mw.settings.cache import CacheSettings
from apsperf_mw.settings.kinds import (
    Count,
    DriverName,
    Drivers,
    Interval,
    Ratio,
    TTLSettings,
    Wait,
)

# Visible ASCII, as a bearer token must be (RFC 6750 §2.1), and long enough not to be guessed.
Token = Annotated[
    str,
    Meta(
        title="text of 16 to 512 visible characters",
        pattern=r"\A(?:[!-~]{16,512})?\Z",
        extra={"secret": True},
    ),
]


class AdminSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin endpoint."""

    enabled: Annotated[
        bool, Meta(description="Answer purges and questions below `admin.path`; needs a token.")
    ] = False
    path: Annotated[
        str,
        Meta(
            title="path from /, without a slash at its end",
            pattern=r"\A(?:/[A-Za-z0-9._~-]+)+\Z",
            description="Where the endpoint is, seen from the app's mount point.",
        ),
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
    """The cache of query results."""

    driver: Annotated[
        DriverName | None, Meta(description="Driver of query results; unset: the one of `default`.")
    ] = None


class TimingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request durations."""

    enabled: Annotated[bool, Meta(description="Measure request durations.")] = True
    server_timing: Annotated[
        bool, Meta(description="Send a `Server-Timing` header on responses.")
    ] = False


class MemorySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sampling of memory and CPU."""

    enabled: Annotated[bool, Meta(description="Sample memory and CPU of the process.")] = True
    interval_s: Annotated[Interval, Meta(description="Seconds between two samples.")] = 10.0


class TracingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spans."""

    enabled: Annotated[bool, Meta(description="Make one server span of a sampled request.")] = True
    sample_ratio: Annotated[
        Ratio, Meta(description="Share of traces sampled when the suite makes the provider.")
    ] = 0.1
    trust_remote_parent: Annotated[
        bool, Meta(description="Follow the sampling decision of the caller's `traceparent`.")
    ] = False


class ExporterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Export of metrics and spans."""

    kind: Annotated[
        Literal["auto", "none", "console", "memory", "otlp"],
        Meta(description="Where to export; `auto` follows the user's providers and `OTEL_*`."),
    ] = "auto"
    interval_s: Annotated[Interval, Meta(description="Seconds between two exports.")] = 60.0
    max_series: Annotated[
        Count, Meta(description="Attribute sets of one instrument at most; the rest overflow.")
    ] = 2000
    max_spans: Annotated[
        Count, Meta(description="Finished spans that wait for export at most.")
    ] = 2048
    flush_timeout_s: Annotated[
        Wait, Meta(description="Seconds that a flush at shutdown takes at most.")
    ] = 2.0


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

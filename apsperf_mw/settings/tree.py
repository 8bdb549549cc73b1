"""The settings tree: every setting with its type, bounds, default and meaning.

The bounds are checked by `load`; a `Struct` made directly is trusted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from apsperf_mw.settings.kinds import (
    Bytes,
    CookieNames,
    Count,
    DriverName,
    Drivers,
    HeaderNames,
    Hosts,
    Interval,
    Lifetime,
    NormalForms,
    Parameters,
    Ratio,
    Seconds,
    StrategyName,
    TTLSettings,
    Wait,
)


class RouteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a path pattern says of responses that say nothing themselves."""

    path: str
    ttl: float | str
    tags: tuple[str, ...] = ()
    shared: bool = False
    vary: tuple[str, ...] = ()
    stale_while_revalidate: float = 0.0


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The response cache."""

    enabled: Annotated[bool, Meta(description="Answer requests from the cache.")] = True
    driver: Annotated[
        DriverName | None, Meta(description="Driver of the cache; unset: the one of `default`.")
    ] = None
    max_entry_bytes: Annotated[
        Bytes, Meta(description="A longer response is passed through and not stored.")
    ] = 1_048_576
    max_variants: Annotated[
        Count, Meta(description="Variants (`Vary`) kept of one URL at most.")
    ] = 64
    patience_s: Annotated[
        Wait, Meta(description="Seconds that a request waits for the fetch of another.")
    ] = 5.0
    hit_for_miss_s: Annotated[
        Wait, Meta(description="Seconds that nobody waits for a URL found not storable.")
    ] = 10.0
    error_ttl_s: Annotated[
        Wait, Meta(description="Seconds that a passing error may be stored at most.")
    ] = 10.0
    heuristic: Annotated[
        bool,
        Meta(description="Guess a lifetime from `Last-Modified` where a response says nothing."),
    ] = False
    heuristic_max_s: Annotated[
        Lifetime, Meta(description="Seconds of a guessed lifetime at most.")
    ] = 86_400
    stale_on_error: Annotated[
        bool, Meta(description="Serve stale in place of an error although no directive says so.")
    ] = False
    keep_stale_s: Annotated[
        Seconds,
        Meta(description="Seconds that a stale entry is kept, to ask the app whether it is good."),
    ] = 3600.0
    request_directives: Annotated[
        Literal["ignore", "honour"],
        Meta(description="Whether a client's own `Cache-Control` counts."),
    ] = "ignore"
    min_uses: Annotated[
        Count, Meta(description="Requests of a URL before its response is stored.")
    ] = 1
    admission: Annotated[
        StrategyName,
        Meta(description="What says which responses are worth storing; `uses` goes by `min_uses`."),
    ] = "uses"
    status_key: Annotated[
        bool, Meta(description="Say in `Cache-Status` under which key; for debugging.")
    ] = False
    status_header: Annotated[
        bool, Meta(description="Say in `Cache-Status` (RFC 9211) what the cache did.")
    ] = True
    keep_tag_headers: Annotated[
        bool, Meta(description="Pass `Cache-Tag` and `Surrogate-Key` on to clients.")
    ] = False
    store_set_cookie: Annotated[
        bool, Meta(description="Store responses with `Set-Cookie`, as RFC 9111 allows.")
    ] = False
    share_with_cookie: Annotated[
        bool, Meta(description="Store and serve although the request has cookies.")
    ] = False
    ignore_cookies: Annotated[
        CookieNames, Meta(description="Cookies that do not count as cookies.")
    ] = ()
    credential_headers: Annotated[
        HeaderNames, Meta(description="Request headers that go around the cache.")
    ] = (
        "x-api-key",
        "x-auth-token",
        "x-access-token",
        "x-csrf-token",
        "x-amz-security-token",
        "proxy-authorization",
        "api-key",
        "x-session-token",
        "remote-user",
        "x-remote-user",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded-access-token",
        "x-forwarded-client-cert",
        "x-auth-request-user",
        "x-auth-request-email",
        "x-auth-request-access-token",
        "x-authenticated-user",
        "x-webauth-user",
        "x-goog-authenticated-user-email",
        "x-goog-authenticated-user-id",
        "x-goog-iap-jwt-assertion",
        "cf-access-jwt-assertion",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-amzn-oidc-data",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-accesstoken",
        "x-client-cert",
        "x-ssl-client-cert",
        "ssl-client-cert",
    )
    routes: Annotated[
        tuple[RouteSettings, ...],
        Meta(
            title="list of tables: path, ttl, tags, shared, vary, stale_while_revalidate",
            description="Rules by path pattern, for responses that say nothing themselves.",
        ),
    ] = ()
    key: Annotated[
        StrategyName,
        Meta(description="What brings queries into a form; `query` goes by the settings below."),
    ] = "query"
    sort_query: Annotated[
        bool, Meta(description="Let the order of query parameters not count in keys.")
    ] = False
    ignore_params: Annotated[
        Parameters, Meta(description="Query parameters that do not count in keys.")
    ] = ()
    only_params: Annotated[
        Parameters, Meta(description="Query parameters that alone count in keys.")
    ] = ()
    hosts: Annotated[
        Hosts, Meta(description="Hosts that are cached; unset: all. The others go to the app.")
    ] = ()
    namespace: Annotated[
        str,
        Meta(
            title="text",
            description="Keeps apps or deploys apart that share a driver.",
            max_length=200,
        ),
    ] = ""
    compression: Annotated[
        Literal["none", "zlib", "zstd"],
        Meta(description="How bodies are packed in stores outside the process."),
    ] = "none"
    compress_from_bytes: Annotated[Bytes, Meta(description="A shorter body is not packed.")] = 8192
    purge_file: Annotated[
        str,
        Meta(
            title="auto, none or a path",
            pattern=r"\A[^\x00]+\Z",
            description="File by which a purge reaches the other workers of this host.",
        ),
    ] = "auto"
    trusted_headers: Annotated[
        HeaderNames,
        Meta(description="Forwarding headers set by a trusted proxy; the cache ignores them."),
    ] = ()
    normal_forms: Annotated[
        NormalForms,
        Meta(description="Functions that bring fields which select variants into a form."),
    ] = ()
    key_headers: Annotated[
        HeaderNames, Meta(description="Request headers whose values are part of every key.")
    ] = ()


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

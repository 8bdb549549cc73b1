"""The settings of the response cache, each with its type, bounds, default and meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from apsperf_mw.settings.kinds import (
    Bytes,
    CookieNames,
    Count,
    DriverName,
    HeaderNames,
    Hosts,
    Lifetime,
    NormalForms,
    Parameters,
    Seconds,
    StrategyName,
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
    depends: str | None = None


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

"""The settings of what is observed, each with its type, bounds, default and meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from apsperf_mw.settings.kinds import (
    Channels,
    Count,
    Directory,
    Fine,
    HeaderPatterns,
    Interval,
    Networks,
    Parameters,
    Path,
    Ratio,
    SampleRules,
    Token,
    Wait,
)


class TimingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request durations."""

    enabled: Annotated[bool, Meta(description="Measure request durations.")] = True
    server_timing: Annotated[
        Literal["off", "on", "token"],
        Meta(description="Send `Server-Timing`: never, always, or to who sends `timing.token`."),
    ] = "off"
    token: Annotated[
        Token, Meta(description="Who sends it as `APSPerf-Token` is told of a response's time.")
    ] = ""
    request_id: Annotated[
        bool, Meta(description="Give responses an `X-Request-ID`: the caller's, or a new one.")
    ] = False


class MemorySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sampling of memory and CPU."""

    enabled: Annotated[bool, Meta(description="Sample memory and CPU of the process.")] = True
    interval_s: Annotated[Interval, Meta(description="Seconds between two samples.")] = 10.0
    request_ratio: Annotated[
        Ratio, Meta(description="Share of requests whose growth of memory is measured.")
    ] = 0.05
    leak_watch: Annotated[
        bool, Meta(description="Name routes whose requests leave memory behind, over time.")
    ] = True
    soft_limit: Annotated[
        Ratio,
        Meta(description="Share of the container's memory at which caches are emptied; 0: never."),
    ] = 0.9


class TracingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spans."""

    enabled: Annotated[bool, Meta(description="Make one server span of a sampled request.")] = True
    sample_ratio: Annotated[
        Ratio, Meta(description="Share of traces sampled when the suite makes the provider.")
    ] = 0.1
    rules: Annotated[
        SampleRules,
        Meta(description="Shares by path, as `/health*=0`; the first that matches counts."),
    ] = ()
    errors: Annotated[
        bool, Meta(description="Keep the spans of failed requests, sampled or not.")
    ] = False
    slow_s: Annotated[
        Wait, Meta(description="Keep the spans of requests that take longer; 0: as sampled.")
    ] = 0.0
    trust_remote_parent: Annotated[
        bool, Meta(description="Follow the sampling decision of the caller's `traceparent`.")
    ] = False
    trusted_proxies: Annotated[
        Networks, Meta(description="Peers whose trace context is believed, whatever others send.")
    ] = ()
    query_values: Annotated[
        Parameters, Meta(description="Query parameters whose values spans may carry.")
    ] = ()
    request_headers: Annotated[
        HeaderPatterns,
        Meta(description="Request headers that spans tell; never credentials or keys."),
    ] = ()
    response_headers: Annotated[
        HeaderPatterns,
        Meta(description="Response headers that spans tell; never cookies or keys."),
    ] = ()


class ExporterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Export of metrics and spans."""

    kind: Annotated[
        Literal["auto", "none", "console", "memory", "otlp"],
        Meta(description="Where to export; `auto` follows the user's providers and `OTEL_*`."),
    ] = "auto"
    interval_s: Annotated[Interval, Meta(description="Seconds between two exports.")] = 60.0
    histograms: Annotated[
        Literal["explicit", "exponential"],
        Meta(description="Form of histograms: the conventions' buckets, or exponential ones."),
    ] = "explicit"
    max_series: Annotated[
        Count, Meta(description="Attribute sets of one instrument at most; the rest overflow.")
    ] = 2000
    max_spans: Annotated[
        Count, Meta(description="Finished spans that wait for export at most.")
    ] = 2048
    flush_timeout_s: Annotated[
        Wait, Meta(description="Seconds that a flush at shutdown takes at most.")
    ] = 2.0


class PrometheusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A path for Prometheus to scrape."""

    enabled: Annotated[
        bool, Meta(description="Serve metrics to Prometheus; needs `apsperf-mw[prometheus]`.")
    ] = False
    path: Annotated[Path, Meta(description="Where it is, from the app's mount point.")] = (
        "/-/metrics"
    )
    token: Annotated[
        Token, Meta(description="Who scrapes sends it as `Authorization: Bearer`; unset: anybody.")
    ] = ""
    directory: Annotated[
        Directory,
        Meta(description="Where a host's workers leave their numbers for each other."),
    ] = ""


class LoggingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log lines of what is slow or wrong."""

    enabled: Annotated[bool, Meta(description="Write log lines.")] = True
    threshold: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The lowest level that is written."),
    ] = "warning"
    channels: Annotated[
        Channels, Meta(description="Which are written, each to the logger `apsperf.` and its name.")
    ] = ("performance", "database", "cache", "memory")
    json: Annotated[bool, Meta(description="Write each line as one JSON object.")] = False
    slow_request_s: Annotated[Wait, Meta(description="A longer request is slow; 0: none is.")] = 1.0
    log_slow_queries: Annotated[bool, Meta(description="Write slow queries.")] = True
    slow_query_s: Annotated[Wait, Meta(description="A longer query is slow.")] = 0.5
    interval_s: Annotated[
        Interval, Meta(description="Seconds between two lines of the same cause.")
    ] = 60.0


class ProfilingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Profiles on demand."""

    enabled: Annotated[
        bool, Meta(description="Profile who asks with the token; needs `apsperf-mw[profile]`.")
    ] = False
    token: Annotated[
        Token, Meta(description="Who sends it as `APSPerf-Profile` gets a profile, not the page.")
    ] = ""
    max_s: Annotated[Interval, Meta(description="Seconds that a profile takes at most.")] = 30.0
    interval_s: Annotated[Fine, Meta(description="Seconds between two samples.")] = 0.001


class HealthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Endpoints for load balancers."""

    enabled: Annotated[bool, Meta(description="Answer both paths.")] = False
    live_path: Annotated[Path, Meta(description="Says that the process lives.")] = "/-/healthz"
    ready_path: Annotated[
        Path, Meta(description="Says whether it takes requests: not after SIGTERM.")
    ] = "/-/readyz"

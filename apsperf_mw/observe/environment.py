"""What the standard `OTEL_*` variables say of exporting. Pure: the environment is a parameter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["METRICS", "TRACES"]

PROTOCOLS = {"http/protobuf": "http", "grpc": "grpc"}
# Exporters by their standard names, and by the names of OpenTelemetry's Python distribution.
EXPORTERS = {
    "otlp": "otlp",
    "otlp_proto_http": "otlp http",
    "otlp_proto_grpc": "otlp grpc",
    "console": "console",
}
SAMPLERS = {"always_on": 1.0, "always_off": 0.0}
INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
EXCLUDED = "OTEL_PYTHON_EXCLUDED_URLS"
REQUEST_HEADERS = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"
RESPONSE_HEADERS = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE"
HIDDEN_HEADERS = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS"
TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


def disabled(environ: Mapping[str, str]) -> bool:
    """Whether the user has switched OpenTelemetry off."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def named_exporters(environ: Mapping[str, str], signal: Signal) -> tuple[list[str], list[str]]:
    """The exporters that are named for a signal: those that are known, and the other names.

    An OTLP endpoint alone names `otlp`.
    """
    listed = environ.get(f"OTEL_{signal}_EXPORTER", "").split(",")
    names = list(dict.fromkeys(name for each in listed if (name := each.strip().lower())))
    if not names:
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        return (["otlp"] if any(environ.get(name) for name in endpoints) else []), []
    known = [EXPORTERS[name] for name in names if name in EXPORTERS]
    return known, [name for name in names if name not in EXPORTERS and name != "none"]


def unknown_exporter(signal: Signal, name: str) -> SettingError:
    """The error for a name that is not known."""
    accepted = ", ".join([*EXPORTERS, "none"])
    return SettingError(f"OTEL_{signal}_EXPORTER: {name!r} given; accepted: {accepted}")


def transport(environ: Mapping[str, str], signal: Signal) -> str:
    """How OTLP travels, `http` or `grpc`; `SettingError` for a protocol that is not known."""
    names = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in names:
        if protocol := environ.get(name, "").strip().lower():
            if protocol not in PROTOCOLS:
                raise SettingError(f"{name}: {protocol!r} given; accepted: {', '.join(PROTOCOLS)}")
            return PROTOCOLS[protocol]
    return "http"


def shows_exemplars(environ: Mapping[str, str]) -> bool:
    """Whether histograms show traces of their values; those that are sampled."""
    return environ.get("OTEL_METRICS_EXEMPLAR_FILTER", "").strip().lower() != "always_off"


def old_names(environ: Mapping[str, str]) -> bool:
    """Whether the conventions' names from before they were stable are told beside them."""
    chosen = environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    return "http/dup" in [each.strip().lower() for each in chosen]


def longest_value(environ: Mapping[str, str]) -> int | None:
    """The characters of a span's attribute at most, or None; `SettingError` if it is no number."""
    for name in ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        if environ.get(name, "").strip():
            return whole_number(environ, name, 0)
    return None


def excluded_urls(environ: Mapping[str, str]) -> re.Pattern[str] | None:
    """What the paths of requests that are not traced match; `SettingError` if it is no pattern."""
    return _patterns(environ, EXCLUDED, 0)


def header_patterns(environ: Mapping[str, str], name: str) -> re.Pattern[str] | None:
    """The names of header fields that a variable lists; `SettingError` if it is no pattern."""
    return _patterns(environ, name, re.IGNORECASE)


def _patterns(environ: Mapping[str, str], name: str, flags: int) -> re.Pattern[str] | None:
    parts = [part for each in environ.get(name, "").split(",") if (part := each.strip())]
    if not parts:
        return None
    try:
        return re.compile("|".join(parts), flags)
    except re.error as error:
        raise SettingError(f"{name}: {error}; accepted: regular expressions") from None


def temporality(environ: Mapping[str, str]) -> Literal["cumulative", "delta", "lowmemory"]:
    """How OTLP tells what adds up; `SettingError` for a preference that is not known."""
    given = environ.get(TEMPORALITY, "").strip().lower()
    match given:
        case "" | "cumulative":
            return "cumulative"
        case "delta" | "lowmemory":
            return given
    raise SettingError(f"{TEMPORALITY}: {given!r} given; accepted: cumulative, delta, lowmemory")


def whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    """A number from 1, or the default; `SettingError` for anything else."""
    given = environ.get(name, "").strip()
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and int(given[:9]) >= 1 and len(given) < 9):
        raise SettingError(f"{name}: {given!r} given; accepted: a whole number from 1")
    return int(given)


def sampler_ratio(environ: Mapping[str, str]) -> float | None:
    """The share of traces that `OTEL_TRACES_SAMPLER` asks for; None where it is not set."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not name:
        return None
    kind = name.removeprefix("parentbased_")
    if kind in SAMPLERS:
        return SAMPLERS[kind]
    if kind != "traceidratio":
        accepted = ", ".join([*SAMPLERS, "traceidratio"])
        raise SettingError(
            f"OTEL_TRACES_SAMPLER: {name!r} given; accepted: {accepted}, each with parentbased_"
        )
    given = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        ratio = float(given)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise SettingError(f"OTEL_TRACES_SAMPLER_ARG: {given!r} given; accepted: 0 to 1")
    return ratio


def metric_interval_s(environ: Mapping[str, str]) -> float | None:
    """The seconds between two exports of metrics, or None where the variable is not set."""
    given = environ.get(INTERVAL, "").strip()
    if not given:
        return None
    try:
        interval_s = float(given) / 1000
    except ValueError:
        interval_s = 0.0
    if not 0.01 <= interval_s <= 86_400:  # not a number fails here too
        raise SettingError(f"{INTERVAL}: {given!r} given; accepted: milliseconds from 10")
    return interval_s

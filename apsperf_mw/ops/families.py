"""Metrics as Prometheus knows them, and those of several workers as one. Pure.

Names and units go by OpenTelemetry's compatibility rules (Prometheus and OpenMetrics).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Labels = tuple[tuple[str, str], ...]

UNITS = {"s": "seconds", "By": "bytes", "1": "ratio"}
_ODD = re.compile(r"[^a-zA-Z0-9_]+")


class Exemplar(Struct, array_like=True):
    """A value with the trace that it comes from, and when it was, in seconds of the wall clock."""

    value: float
    trace_id: str
    span_id: str
    at: float


class Sample(Struct, array_like=True):
    """One line: what its name ends in, its labels, and its value."""

    suffix: str
    labels: Labels
    value: float
    exemplar: Exemplar | None = None


class Family(Struct, array_like=True):
    """A metric: `kind` is counter, gauge or histogram; `adds_up` whether workers' values do."""

    name: str
    unit: str
    help: str
    kind: str
    samples: list[Sample]
    adds_up: bool = True


def families(data: Any) -> Iterator[Family]:
    """OpenTelemetry's metrics data as families, the resource as `target_info`."""
    for resource in data.resource_metrics:
        told = labels(resource.resource.attributes)
        about = [Sample("_info", told, 1.0)]
        yield Family("target", "", "The process that tells.", "info", about, adds_up=False)
        for scope in resource.scope_metrics:
            yield from map(family, scope.metrics)


def family(metric: Any) -> Family:
    """One metric."""
    data = metric.data
    kind = type(data).__name__
    counts = kind == "Sum" and data.is_monotonic
    shape = "counter" if counts else "histogram" if "Histogram" in kind else "gauge"
    name, unit = named(metric.name, metric.unit, shape)
    made = {"Histogram": buckets, "ExponentialHistogram": powers}.get(kind, numbers)
    samples = [sample for point in data.data_points for sample in made(point, shape)]
    help_text = metric.description or metric.name
    return Family(name, unit, help_text, shape, samples, shape != "gauge")


def named(name: str, unit: str, shape: str) -> tuple[str, str]:
    """The name, which ends in the unit, and the unit; a unit in braces is a remark.

    Only histograms may end in `_count`: what is no counter and does has the plural in its place.
    """
    words = "" if unit.startswith("{") else UNITS.get(unit, label(unit))
    if unit == "1" and shape != "gauge":
        words = ""
    plain = label(name).removesuffix("_total")
    if plain.endswith("_count"):
        plain = f"{plain.removesuffix('_count')}s"
    return (f"{plain}_{words}" if words and not plain.endswith(words) else plain), words


def label(name: str) -> str:
    """A name in the characters that are allowed."""
    plain = _ODD.sub("_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def labels(attributes: Any) -> Labels:
    """The attributes, in order, so that equal ones are equal."""
    return tuple(sorted((label(key), text(value)) for key, value in attributes.items()))


def text(value: object) -> str:
    """A value as a label has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def numbers(point: Any, shape: str) -> Iterator[Sample]:
    """A counter's or a gauge's value."""
    suffix = "_total" if shape == "counter" else ""
    yield Sample(suffix, labels(point.attributes), float(point.value))


def buckets(point: Any, _: str) -> Iterator[Sample]:
    """A histogram's buckets, each with all below it, its sum and its count."""
    told = labels(point.attributes)
    bounds = [*map(float, point.explicit_bounds), float("inf")]
    shown = {bucket_of(each.value, bounds): each for each in point.exemplars or ()}
    below = 0
    for at, (bound, count) in enumerate(zip(bounds, point.bucket_counts, strict=True)):
        below += count
        yield Sample("_bucket", (*told, ("le", le(bound))), float(below), exemplar(shown.get(at)))
    yield Sample("_count", told, float(point.count))
    yield Sample("_sum", told, float(point.sum))


def powers(point: Any, _: str) -> Iterator[Sample]:
    """An exponential histogram, at the bounds of its buckets."""
    told = labels(point.attributes)
    base = 2 ** (2**-point.scale)
    below = point.zero_count
    yield Sample("_bucket", (*told, ("le", le(0.0))), float(below))
    for at, count in enumerate(point.positive.bucket_counts):
        below += count
        bound = base ** (point.positive.offset + at + 1)
        yield Sample("_bucket", (*told, ("le", le(bound))), float(below))
    yield Sample("_bucket", (*told, ("le", "+Inf")), float(point.count))
    yield Sample("_count", told, float(point.count))
    yield Sample("_sum", told, float(point.sum))


def bucket_of(value: float, bounds: list[float]) -> int:
    """The bucket that holds a value."""
    return next(at for at, bound in enumerate(bounds) if value <= bound)


def le(bound: float) -> str:
    """A bound as it is written."""
    return "+Inf" if bound == float("inf") else repr(bound)


def exemplar(given: Any) -> Exemplar | None:
    """A bucket's trace."""
    if given is None or not given.trace_id:
        return None
    ids = f"{given.trace_id:032x}", f"{given.span_id:016x}"
    return Exemplar(given.value, *ids, given.time_unix_nano / 1e9)


def merged(workers: Iterable[tuple[str, list[Family]]]) -> list[Family]:
    """Several workers' families as one: what counts is added up, the rest bears the worker's id."""
    found: dict[str, Family] = {}
    values: dict[tuple[str, str, Labels], Sample] = {}
    for worker, told in workers:
        for each in told:
            one = found.setdefault(
                each.name, Family(each.name, each.unit, each.help, each.kind, [], each.adds_up)
            )
            for sample in each.samples:
                own = sample.labels if each.adds_up else (*sample.labels, ("worker", worker))
                key = (each.name, sample.suffix, own)
                known = values.get(key)
                if known is None:
                    known = values[key] = Sample(sample.suffix, own, 0.0, sample.exemplar)
                    one.samples.append(known)
                known.value += sample.value
                known.exemplar = sample.exemplar or known.exemplar
    return list(found.values())

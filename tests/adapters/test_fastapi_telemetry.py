"""FastAPI's and Starlette's own telemetry stands down where the suite reports, and only there."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI

from tests.adapters.support import ROOT, environ

TELEMETRY = """
import asyncio, json, sys
from collections import Counter
from fastapi import APIRouter, FastAPI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from apsperf_fastapi import install
from tests.adapters.support import ASGISite, Pages

def provider():
    kept = InMemorySpanExporter()
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(kept))
    return made, kept

named, kept_by_name = provider()
config = json.loads(sys.argv[1])
if config.pop("named"):
    app = FastAPI(telemetry={"tracer_provider": named})
else:
    app = FastAPI()
inner = FastAPI()
for each in (app, inner):
    each.get("/item/{number}")(lambda number: number)
app.mount("/inner", inner)
options = config.pop("options", {})
if config.pop("middleware"):
    from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
    app.add_middleware(OpenTelemetryMiddleware, **options)
site = ASGISite(app, Pages(), install(app, **config))
globally, kept = provider()
trace.set_tracer_provider(globally)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
for target in ("/item/1", "/item/2", "/inner/item/3", "/nowhere"):
    assert site.ask(target).status in {200, 404}
site.suite.flush(5)
spans = Counter()
for span in kept.get_finished_spans():
    spans[f"{span.instrumentation_scope.name} {span.kind.name} {span.name}"] += 1
points = Counter()
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            if metric.name == "http.server.request.duration":
                points[scope.scope.name] += sum(point.count for point in metric.data.data_points)
by_name = Counter(span.kind.name for span in kept_by_name.get_finished_spans())
print(json.dumps({"spans": spans, "points": points, "by_name": by_name}))
"""


NOTHING: dict[str, Any] = {"named": False, "middleware": False}
# Starlette has such a middleware since 1.10.
MIDDLEWARE = {"middleware": find_spec("starlette.middleware.opentelemetry") is not None}


def telemetry(**settings: Any) -> dict[str, dict[str, int]]:
    """What the providers get of three pages that are found and one that is not."""
    done = subprocess.run(
        [sys.executable, "-c", TELEMETRY, json.dumps(NOTHING | settings)],
        cwd=ROOT,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


def test_each_request_is_reported_once_and_by_the_suite() -> None:
    found = telemetry()
    assert found["spans"] == {
        "apsperf_mw SERVER GET /item/{number}": 2,
        "apsperf_mw SERVER GET /inner/item/{number}": 1,
        "apsperf_mw SERVER GET": 1,
    }
    assert found["points"] == {"apsperf_mw": 4}


def test_starlettes_middleware_does_not_report_once_more() -> None:
    found = telemetry(**MIDDLEWARE, options={})
    assert found["points"] == {"apsperf_mw": 4}
    assert {name.partition(" ")[0] for name in found["spans"]} == {"apsperf_mw"}
    assert sum(found["spans"].values()) == 4


def test_what_the_suite_does_not_measure_stays_with_fastapi() -> None:
    found = telemetry(tracing={"enabled": False}, timing={"enabled": False})
    ours = [name for name in (*found["spans"], *found["points"]) if name.startswith("apsperf")]
    assert ours == []
    native = hasattr(FastAPI(), "_telemetry")
    assert found["points"] == ({"fastapi": 4} if native else {})
    assert sum(" SERVER " in name for name in found["spans"]) == (3 if native else 0)


def test_a_provider_that_fastapi_was_given_goes_on_being_served() -> None:
    if hasattr(FastAPI(), "_telemetry"):
        assert telemetry(named=True)["by_name"]["SERVER"] == 4

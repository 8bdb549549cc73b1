"""Apps of each kind, bare, observed by the suite, and by others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from apsperf_mw import Suite
from benchmarks.bare import (
    environ,
    fastapi_app,
    flask_app,
    raw_asgi,
    raw_wsgi,
    receive,
    scope,
    send,
    start,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

KINDS = ("asgi", "wsgi", "fastapi", "flask", "django")
OFF: dict[str, Any] = {
    "timing": {"enabled": False},
    "memory": {"enabled": False},
    "tracing": {"enabled": False},
    "logging": {"enabled": False},
}
OTLP: dict[str, Any] = {"exporter": {"kind": "otlp"}}
QUIET: dict[str, Any] = {"exporter": {"kind": "none"}}


class Arm(NamedTuple):
    """One way to observe an app; `flush` exports what is recorded."""

    name: str
    app: Any
    is_async: bool
    flush: Callable[[], object] = lambda: None
    close: Callable[[], object] = lambda: None

    def serve(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """Serve so many requests."""
        if self.is_async:
            loop.run_until_complete(self._serve(count))
            return
        for _ in range(count):
            body = self.app(environ(), start)
            for _chunk in body:
                pass
            if hasattr(body, "close"):
                body.close()

    async def _serve(self, count: int) -> None:
        for _ in range(count):
            await self.app(scope(), receive, send)


def arms(kind: str) -> list[Arm]:
    """All arms of one kind, the bare app first."""
    made: list[Arm] = {
        "asgi": _asgi_arms,
        "wsgi": _wsgi_arms,
        "fastapi": _fastapi_arms,
        "flask": _flask_arms,
        "django": _django_arms,
    }[kind]()
    return made


def ours(wrap: Callable[[Suite], Any], *, is_async: bool) -> list[Arm]:
    """The suite, observing more and more."""
    without: dict[str, Any] = {"cache": {"enabled": False}}
    ways: list[tuple[str, dict[str, Any]]] = [
        ("suite, all off", OFF | QUIET),
        ("suite, metrics", {"tracing": {"enabled": False}} | QUIET),
        ("suite, all, 10 % traced", OTLP),
        ("suite, 100 % as OTLP", {"tracing": {"sample_ratio": 1.0}} | OTLP),
    ]
    made = []
    for name, settings in ways:
        suite = Suite(**(without | settings))
        made.append(Arm(name, wrap(suite), is_async, suite.flush, suite.close))
    return made


def providers(ratio: float) -> tuple[Any, Any, Callable[[], object]]:
    """OpenTelemetry's own, exporting over OTLP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    traces = TracerProvider(ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return traces, MeterProvider(shutdown_on_exit=False), traces.force_flush


SHARES = (("contrib, 10 % traced", 0.1), ("contrib, 100 % as OTLP", 1.0))


def _asgi_arms() -> list[Arm]:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    made = [Arm("bare", raw_asgi, True), *ours(lambda suite: suite.asgi(raw_asgi), is_async=True)]
    for name, ratio in SHARES:
        traces, meters, flush = providers(ratio)
        app = OpenTelemetryMiddleware(raw_asgi, tracer_provider=traces, meter_provider=meters)
        made.append(Arm(name, app, True, flush, traces.shutdown))
    return made


def _wsgi_arms() -> list[Arm]:
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    made = [Arm("bare", raw_wsgi, False), *ours(lambda suite: suite.wsgi(raw_wsgi), is_async=False)]
    for name, ratio in SHARES:
        traces, meters, flush = providers(ratio)
        app = OpenTelemetryMiddleware(raw_wsgi, tracer_provider=traces, meter_provider=meters)
        made.append(Arm(name, app, False, flush, traces.shutdown))
    return made


def _fastapi_arms() -> list[Arm]:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from prometheus_fastapi_instrumentator import Instrumentator

    from apsperf_fastapi import install

    def wrap(suite: Suite) -> Any:
        app = fastapi_app()
        install(app, suite)
        return app

    made = [Arm("bare", fastapi_app(), True), *ours(wrap, is_async=True)]
    for name, ratio in SHARES:
        traces, meters, flush = providers(ratio)
        app = fastapi_app()
        FastAPIInstrumentor.instrument_app(app, tracer_provider=traces, meter_provider=meters)
        made.append(Arm(name, app, True, flush, traces.shutdown))
    traces, meters, flush = providers(1.0)
    own = fastapi_app(telemetry={"tracer_provider": traces, "meter_provider": meters})
    made.append(Arm("FastAPI's own, 100 % as OTLP", own, True, flush, traces.shutdown))
    made += _starlette_arm()
    counted = fastapi_app()
    Instrumentator().instrument(counted)
    made.append(Arm("prometheus-fastapi-instrumentator", counted, True))
    return made


def _starlette_arm() -> list[Arm]:
    from starlette.middleware.opentelemetry import OpenTelemetryMiddleware

    traces, _, flush = providers(1.0)
    app = fastapi_app()
    app.add_middleware(OpenTelemetryMiddleware, tracer_provider=traces)
    return [Arm("Starlette's own, 100 % as OTLP", app, True, flush, traces.shutdown)]


def _flask_arms() -> list[Arm]:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    def wrap(suite: Suite) -> Any:
        from apsperf_flask import describe

        app = flask_app()
        app.wsgi_app = suite.wsgi(app.wsgi_app)
        app.after_request_funcs.setdefault(None, []).insert(0, describe)
        return app

    made = [Arm("bare", flask_app(), False), *ours(wrap, is_async=False)]
    for name, ratio in SHARES:
        traces, meters, flush = providers(ratio)
        app = flask_app()
        instrument: Any = FlaskInstrumentor
        instrument.instrument_app(app, tracer_provider=traces, meter_provider=meters)
        made.append(Arm(name, app, False, flush, traces.shutdown))
    return made


def _django_arms() -> list[Arm]:
    from unittest.mock import patch

    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import JsonResponse
    from django.urls import path

    def album(request: Any, number: int) -> JsonResponse:  # noqa: ARG001
        return JsonResponse({"number": number})

    urls = type("Urls", (), {"urlpatterns": [path("albums/<int:number>", album)]})
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, MIDDLEWARE=[], SECRET_KEY="only to measure"
    )
    django.setup()
    made = [Arm("bare", WSGIHandler(), False)]
    settings.MIDDLEWARE = ["apsperf_django.middleware.SuiteMiddleware"]

    def wrap(suite: Suite) -> Any:
        with patch("apsperf_django.middleware.get_suite", lambda: suite):
            return WSGIHandler()

    made += ours(wrap, is_async=False)
    settings.MIDDLEWARE = []
    made.append(_django_contrib())
    return made


def _django_contrib() -> Arm:
    from django.core.handlers.wsgi import WSGIHandler
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    traces, meters, flush = providers(1.0)
    DjangoInstrumentor().instrument(tracer_provider=traces, meter_provider=meters)
    return Arm("contrib, 100 % as OTLP", WSGIHandler(), False, flush, traces.shutdown)

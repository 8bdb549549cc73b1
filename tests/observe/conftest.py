"""Suites that are closed at the end, a collector, and providers of the program's own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from apsperf_mw import Suite
from tests.observe.support import Sink, make_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace.sampling import Sampler

    from apsperf_mw.testing.harness import Client
    from tests.observe.support import App


@pytest.fixture(autouse=True)
def no_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def make_suite() -> Iterator[Callable[..., Suite]]:
    """Makes suites that trace everything into memory, unless told otherwise."""
    made: list[Suite] = []

    def make(**settings: Any) -> Suite:
        settings.setdefault("exporter", {"kind": "memory"})
        settings.setdefault("tracing", {"sample_ratio": 1.0})
        made.append(Suite(**settings))
        return made[-1]

    yield make
    for suite in made:
        suite.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that the test starts; those of suites that other tests left come and go."""
    threads: list[threading.Thread] = []
    here, start = threading.get_ident(), threading.Thread.start

    def note(thread: threading.Thread) -> None:
        if threading.get_ident() == here:
            threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note)
    return threads


@pytest.fixture(params=["asgi", "wsgi"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def wrap(shell: str, make_suite: Callable[..., Suite]) -> Callable[..., Client]:
    """Puts a suite round an app, behind each shell in turn."""

    def wrap(app: App, suite: Suite | None = None, **settings: Any) -> Client:
        return make_client(shell, app, suite or make_suite(**settings))

    return wrap


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


class Program:
    """A program that sets up OpenTelemetry for itself."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._providers: list[Any] = []

    def trace(self, sampler: Sampler | None = None) -> InMemorySpanExporter:
        """Set a tracer provider, and give what it exports to."""
        exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._providers.append(provider)
        self._patch.setattr(trace, "_TRACER_PROVIDER", provider)
        return exporter

    def measure(self, readers: int = 1) -> list[InMemoryMetricReader]:
        """Set a meter provider, and give its readers."""
        made = [InMemoryMetricReader() for _ in range(readers)]
        provider = MeterProvider(made, shutdown_on_exit=False)
        self._providers.append(provider)
        self._patch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", provider)
        return made

    def close(self) -> None:
        for provider in self._providers:
            provider.shutdown()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    program = Program(monkeypatch)
    yield program
    program.close()

"""The one exporter of a suite."""

from __future__ import annotations

import atexit
import os
from collections import deque
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from apsperf_mw.__about__ import __version__
from apsperf_mw.observe.ledger import Ledger
from apsperf_mw.observe.points import Observed
from apsperf_mw.observe.series import Requests
from apsperf_mw.observe.spans import FinishedSpan
from apsperf_mw.runtime.threads import Gate, Lock, Pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.points import Kind
    from apsperf_mw.observe.providers import UserTracer
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.observe.sinks import InMemory, Outputs
    from apsperf_mw.observe.spans import OwnSpan, Seen
    from apsperf_mw.settings import ExporterSettings

# How often the thread counts what requests have left in the ledger, and sends spans on.
TICK_S = 1.0


class MetricsExporter:
    """Counts and keeps on the request's thread, exports on its own.

    Starts nothing and looks at no provider before the first request. `tracer` is set where the
    user's tracer makes the spans, `spans` where the suite keeps them itself; with neither nothing
    is traced. In a forked child it starts anew and without what the parent has counted.
    """

    def __init__(self, settings: ExporterSettings, faults: Faults) -> None:
        self.started = False
        self.ledger = Ledger()
        self.requests = Requests(settings.max_series)
        self.tracer: UserTracer | None = None
        self.spans: deque[FinishedSpan] | None = None
        self.memory: InMemory | None = None
        self.dropped_spans = 0
        self._settings = settings
        self._faults = faults
        self._lock = Lock()
        self._outputs: Outputs | None = None
        self._observed: list[Observed] = []
        self._jobs: list[list[Any]] = []
        self._asked: list[Gate] = []
        self._named: tuple[Any, Any] | None = None
        self._closed = False
        self._started_ns = 0
        self._next_export = 0.0
        self._pulse = Pulse(self, TICK_S)
        self.observe(
            "apsperf.exporter.dropped",
            "{span}",
            "Spans dropped because too many waited for export.",
            "counter",
            lambda: [(self.dropped_spans, {"apsperf.signal": "traces"})],
        )

    def observe(
        self,
        name: str,
        unit: str,
        description: str,
        kind: Kind,
        values: Callable[[], Iterable[tuple[float, Attributes]]],
    ) -> None:
        """Export what `values` gives whenever it is asked; before the first request only."""
        self._observed.append(Observed(name, unit, description, kind, values))

    def every(self, interval_s: float, job: Callable[[], None]) -> None:
        """Have `job` called in the exporter's thread, at its start and at this interval."""
        self._jobs.append([0.0, interval_s, job])

    def start(self) -> None:
        """Look at what is set up, and begin; a fault is noted, and nothing is exported then."""
        with self._lock:
            if self.started or self._closed:
                return
            if self._outputs is None:
                try:
                    self._connect()
                except Exception as fault:
                    self._faults.note("the exporter's set-up", fault)
                    self.ledger.count = self.requests.count
                atexit.register(_weakly(WeakMethod(self.close)))
                os.register_at_fork(after_in_child=_weakly(WeakMethod(self._begin_anew)))
            self._started_ns = time_ns()
            self._next_export = monotonic() + self._settings.interval_s
            self._pulse.start(min((job[1] for job in self._jobs), default=TICK_S))
            self.started = True

    def keep_span(self, span: OwnSpan, seen: Seen, start_ns: int, end_ns: int) -> None:
        """Keep a finished span for export; drop it, counted, where too many wait."""
        ring = self.spans
        if ring is None:
            return
        waiting = len(ring)
        if waiting >= self._settings.max_spans:
            self.dropped_spans += 1
            return
        ring.append(FinishedSpan(span, seen, start_ns, end_ns))
        if waiting == self._settings.max_spans // 2:
            self._pulse.wake()

    def flush(self, timeout_s: float) -> bool:
        """Export all that is recorded, into the user's providers too; whether it was in time."""
        if not self.started or self._closed:
            return True
        gate = Gate()
        self._asked.append(gate)
        self._pulse.wake()
        return gate.wait(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Flush, and end the thread for good; takes no longer than the time given."""
        self.flush(self._settings.flush_timeout_s if timeout_s is None else timeout_s)
        self._closed = True
        self._pulse.stop()

    def tick(self) -> None:
        """Count, sample and export what is due; the thread calls it."""
        if self.spans is not None or (self._outputs and self._outputs.metrics is not None):
            self._identity()
        self.ledger.drain()
        now = monotonic()
        for job in self._jobs:
            if now >= job[0]:
                job[0] = now + job[1]
                self._attempt("a sampler", job[2])
        asked, self._asked = self._asked, []
        self._attempt("the export of spans", self._send_spans)
        if asked or now >= self._next_export:
            self._next_export = now + self._settings.interval_s
            self._attempt("the export of metrics", self._send_metrics)
        if asked:
            self._attempt("the flush of providers", self._flush_providers)
        for gate in asked:
            gate.open()

    def _connect(self) -> None:
        from apsperf_mw.observe.providers import UserMeters, UserTracer
        from apsperf_mw.observe.sinks import choose

        outputs = self._outputs = choose(self._settings)
        self.memory = outputs.memory
        if outputs.tracer_provider is not None:
            self.tracer = UserTracer(outputs.tracer_provider)
        elif outputs.spans is not None:
            self.spans = deque()
        if outputs.meter_provider is None:
            self.ledger.count = self.requests.count
        else:
            most = self._settings.max_series
            meters = UserMeters(outputs.meter_provider, self.ledger, self._observed, most)
            self.ledger.count = meters.count

    def _begin_anew(self) -> None:
        """In a forked child: what was counted so far is the parent's to export."""
        self.ledger.forget()
        self.requests.clear()
        if self.spans is not None:
            self.spans = deque()
        self._lock = Lock()
        self._asked = []
        self._pulse = Pulse(self, TICK_S)
        self.started = False

    def _send_spans(self) -> None:
        ring, outputs = self.spans, self._outputs
        if not ring or outputs is None:
            return
        kept = [ring.popleft() for _ in range(len(ring))]
        resource, scope = self._identity()
        outputs.spans.export([span.readable(resource, scope) for span in kept])

    def _send_metrics(self) -> None:
        outputs = self._outputs
        if outputs is None or outputs.metrics is None:
            return
        from apsperf_mw.observe.points import metrics_data

        resource, scope = self._identity()
        times_ns = (self._started_ns, time_ns())
        outputs.metrics.export(
            metrics_data(self.requests, self._observed, resource, scope, times_ns)
        )

    def _flush_providers(self) -> None:
        outputs = self._outputs
        if outputs is None:
            return
        for provider in (outputs.tracer_provider, outputs.meter_provider):
            force_flush = getattr(provider, "force_flush", None)
            if force_flush is not None:
                force_flush()

    def _identity(self) -> tuple[Any, Any]:
        """The resource and the scope; made once, in the thread, for it takes milliseconds."""
        if self._named is None:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope

            self._named = Resource.create(), InstrumentationScope("apsperf_mw", __version__)
        return self._named

    def _attempt(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as fault:
            self._faults.note(what, fault)


def _weakly(method: WeakMethod[Callable[[], None]]) -> Callable[[], None]:
    """A callable that does not keep the method's object alive."""

    def call() -> None:
        bound = method()
        if bound is not None:
            bound()

    return call

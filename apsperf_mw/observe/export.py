"""The one exporter of a suite."""

from __future__ import annotations

import atexit
import os
from collections import Counter, deque
from functools import partial
from os import environ
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from msgspec import Struct

from apsperf_mw.observe.environment import shows_exemplars
from apsperf_mw.observe.jobs import Jobs
from apsperf_mw.observe.ledger import Ledger
from apsperf_mw.observe.losses import DROPPED, FAILURES, Losses
from apsperf_mw.observe.outputs import Outputs
from apsperf_mw.observe.points import ACTIVE, Observed
from apsperf_mw.observe.series import OTHER, SCHEMES, Requests, bounded_method
from apsperf_mw.runtime.threads import Gate, Lock, Pulse, load_fork_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.sdk.metrics.export import MetricsData

    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.points import Kind, Point
    from apsperf_mw.observe.record import Finished
    from apsperf_mw.observe.ring import Ring
    from apsperf_mw.observe.user_spans import UserTracer
    from apsperf_mw.settings import ExporterSettings

# How often the thread counts what requests have left in the ledger, and sends spans on.
TICK_S = 1.0
# How long a fork waits for the thread at most.
HOLD_S = 1.0


class Asked(Struct, eq=False):
    """A flush that somebody waits for."""

    until: float
    gate: Gate
    went_out: bool = False


class MetricsExporter:
    """Counts and keeps on the request's thread, exports on its own.

    Starts nothing and looks at no provider before the first request. `live` has the requests that
    are under way. `tracer` is set where the
    user's tracer makes the spans, `spans` where the suite keeps them itself; with neither nothing
    is traced. `memory` keeps what was exported where `exporter.kind` is `memory`. In a forked
    child all of it starts anew, without what the parent has counted.
    """

    def __init__(
        self, settings: ExporterSettings, faults: Faults, shown: Iterable[str] = ()
    ) -> None:
        self.started = False
        self.tracer: UserTracer | None = None
        self.spans: Ring | None = None
        self.requests = Requests(
            settings.max_series,
            exponential=settings.histograms == "exponential",
            exemplars=shows_exemplars(environ),
        )
        self.live: dict[int, Any] = {}
        self.faults = faults
        self._settings = settings
        self._starts: list[Callable[[MetricsExporter], Callable[[], object]]] = []
        self._stops: list[Callable[[], object]] = []
        self._in_child: list[Callable[[], object]] = []
        self._ends: list[Callable[[], object]] = []
        self._keeps = False
        self._watchers: list[Callable[[list[Finished]], None]] = []
        self._pulse = Pulse(self)
        self.ledger = Ledger(self._pulse.wake)
        self._losses = Losses()
        self._shown = frozenset(shown)
        self._outputs = Outputs(settings, faults, self._losses, self._shown)
        self.memory = self._outputs.memory
        self._lock = Lock()
        self._observed: list[Observed] = []
        self._jobs = Jobs()
        self._asked: deque[Asked] = deque()
        self._next_export = 0.0
        self._at_exit: Callable[[], None] | None = None
        self._closed = False
        self._held = False
        self.observe(*ACTIVE, "updown", partial(under_way, self.live))
        self.observe(*DROPPED, "counter", self._losses.dropped)
        self.observe(*FAILURES, "counter", self._losses.failed)

    def observe(
        self,
        name: str,
        unit: str,
        description: str,
        kind: Kind,
        values: Callable[[], Iterable[Point]],
    ) -> None:
        """Export what `values` gives whenever it is asked; before the first request only."""
        faults = self.faults

        def guarded() -> list[Point]:
            try:
                return list(values())
            except Exception as fault:
                faults.note(f"the metric {name}", fault)
                return []

        self._observed.append(Observed(name, unit, description, kind, guarded))

    def in_child(self, begin: Callable[[], object]) -> None:
        """Have `begin` called in a forked child, where all is counted anew."""
        self._in_child.append(begin)

    def on_start(self, start: Callable[[MetricsExporter], Callable[[], object]]) -> None:
        """Have `start` called at the first request; what it gives is called at the end."""
        self._starts.append(start)

    def keep(self) -> None:
        """Count here too where the user's meters are told: somebody collects from us."""
        self._keeps = True

    def at_end(self, run: Callable[[], object]) -> None:
        """Have `run` called once more at the end, when all is counted."""
        self._ends.append(run)

    def collect(self) -> MetricsData:
        """Everything counted so far, as OpenTelemetry has it; any thread may ask."""
        self.ledger.drain(wait=True)
        return self._outputs.collect(self.ledger, self.requests, self._observed)

    def watch(self, look: Callable[[list[Finished]], None]) -> None:
        """Have `look` shown finished requests, batch by batch, in the exporter's thread."""
        self._watchers.append(look)

    def every(self, interval_s: float, run: Callable[[], None]) -> None:
        """Have `run` called in the exporter's thread, at its start and at this interval."""
        self._jobs.add(interval_s, run)

    def start(self) -> bool:
        """Look at what is set up, and begin, unless that is done; False once it is closed.

        A fault is noted; what it concerns is not exported then.
        """
        with self._lock:
            if not self.started and not self._closed:
                self._begin()
                self.started = True
        return self.started

    def flush(self, timeout_s: float) -> bool:
        """Export all that is recorded, into the user's providers too.

        Whether all of it went out, and in time.
        """
        if not self.started:
            return True
        asked = Asked(monotonic() + timeout_s, Gate())
        self._asked.append(asked)
        self._pulse.wake()
        return asked.gate.wait(timeout_s) and asked.went_out

    def close(self, timeout_s: float | None = None) -> None:
        """Flush, and end the thread for good; takes no longer than the time given.

        An export that hangs ends by its own time-out, or with the process.
        """
        self.flush(self._settings.flush_timeout_s if timeout_s is None else timeout_s)
        if self.started:
            for run in self._ends:
                self._outputs.attempt("the end", run)
        self._closed = True
        self.started = False
        while self._stops:
            self._stops.pop()()
        self.tracer = self.spans = None
        self._pulse.stop()
        if self._outputs.meters is not None:
            self._outputs.meters.leave()
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)

    def tick(self) -> None:
        """Count, sample and export what is due; the thread calls it."""
        asked = [self._asked.popleft() for _ in range(len(self._asked))]
        outputs = self._outputs
        try:
            outputs.open()
            if outputs.spans is None:
                self.spans = None
            drain = partial(self.ledger.drain, wait=bool(asked))
            outputs.attempt("the counting of requests", drain)
            self._jobs.run(outputs.attempt)
            went_out = self._send(flushed=bool(asked))
            for one in asked:
                one.went_out = outputs.flush_providers(one.until) and went_out
        finally:
            for one in asked:
                one.gate.open()

    def rest(self) -> None:
        """Let the exporters go; the thread calls it last."""
        self._outputs.shutdown()

    def _begin(self) -> None:
        outputs = self._outputs
        outputs.connect(self.ledger, self.requests, self._observed, keep=self._keeps)
        if self._watchers and self.ledger.count is not None:
            self.ledger.count = partial(_count, self.ledger.count, self._watchers, outputs)
        self.tracer, self.spans = outputs.tracer, outputs.spans
        if self._at_exit is None:
            # Exit hooks run last in, first out: before those of providers that are set by now.
            self._at_exit = atexit.register(_weakly(WeakMethod(self.close)))
            load_fork_hooks()
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=_weakly(WeakMethod(self._hold)),
                    after_in_parent=_weakly(WeakMethod(self._go_on)),
                    after_in_child=_weakly(WeakMethod(self._begin_anew)),
                )
        if not self._stops:
            self._stops.extend(start(self) for start in self._starts)
        self._next_export = monotonic() + outputs.interval_s
        self._pulse.start(min(TICK_S, outputs.interval_s, self._jobs.shortest_s))

    def _hold(self) -> None:
        """Before a fork: a tick that it cut in two might leave the child half an import."""
        self._held = self._pulse.hold(HOLD_S)

    def _go_on(self) -> None:
        if self._held:
            self._pulse.go_on()

    def _begin_anew(self) -> None:
        """In a forked child: what was counted so far is the parent's to export."""
        self.started = False
        self.tracer = self.spans = None
        self._lock = Lock()
        self._asked = deque()
        self._pulse = Pulse(self)
        self.ledger.forget(self._pulse.wake)
        self.requests.clear()
        self._losses.clear()
        self.live.clear()
        self._outputs = Outputs(self._settings, self.faults, self._losses, self._shown)
        self.memory = self._outputs.memory
        self._jobs.begin_anew()
        for begin in self._in_child:
            begin()

    def _send(self, *, flushed: bool) -> bool:
        outputs, now = self._outputs, monotonic()
        went_out = outputs.send_spans(flushed=flushed)
        if flushed or now >= self._next_export:
            self._next_export = now + outputs.interval_s
            send = partial(outputs.send_metrics, self.ledger, self.requests, self._observed)
            went_out &= outputs.attempt("the export of metrics", send)
        return went_out


def under_way(live: dict[int, Any]) -> list[Point]:
    """The requests that have begun and not ended."""
    counts = Counter(
        (bounded_method(x.method), x.scheme if x.scheme in SCHEMES else OTHER)
        for x in list(live.values())
    )
    return [
        (count, {"http.request.method": method, "url.scheme": scheme})
        for (method, scheme), count in counts.items()
    ]


def _count(
    count: Callable[[list[Finished]], None],
    watchers: list[Callable[[list[Finished]], None]],
    outputs: Outputs,
    batch: list[Finished],
) -> None:
    count(batch)
    for look in watchers:
        outputs.attempt("a watcher of requests", partial(look, batch))


def _weakly(method: WeakMethod[Callable[[], None]]) -> Callable[[], None]:
    """A callable that does not keep the method's object alive."""

    def call() -> None:
        bound = method()
        if bound is not None:
            bound()

    return call

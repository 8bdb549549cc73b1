"""What the recorder does for the shells of a suite whose cache is off, in few calls."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from apsperf_mw.cache.screen import TRACED
from apsperf_mw.observe.ids import random_bits
from apsperf_mw.observe.ledger import CROWDED
from apsperf_mw.observe.record import Costs, Finished
from apsperf_mw.observe.recorder import BEHIND_S, BODILESS, CPU_EVERY, behind, drawn
from apsperf_mw.observe.sampling import link, sent
from apsperf_mw.observe.spans import OwnSpan, SpanRecord, asked, client_bytes, root
from apsperf_mw.observe.statm import statm
from apsperf_mw.observe.waits import queued_s

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange, Facts
    from apsperf_mw.observe.recorder import Recorder
    from apsperf_mw.observe.spans import Asked


# Requests until something that is off.
NEVER = 1 << 60


class Seen(Protocol):
    """A request as these shells keep it: its plan, and what its app has sent."""

    route: str
    costs: Any
    method: str
    started: float
    span: Any
    asked: Asked | None
    status: int
    head_at: float
    ended_at: float
    sent_bytes: int
    chunks: int
    error: str

    def facts(self) -> Facts:
        """What tells its series from others'."""
        ...

    def traced(self) -> bool:
        """Whether the caller has sent trace context."""
        ...

    def asks(self) -> tuple[Asked, bool]:
        """What its span says of it, and whether the caller has sent trace context."""
        ...

    def exchange(self) -> Exchange:
        """As the rest of the suite knows a request."""
        ...


class Watcher:
    """Opens, records and closes requests; nothing that goes wrong here reaches the app."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._exporter = exporter = recorder.exporter
        self._ledger = exporter.ledger
        self._live: dict[int, Any] = exporter.live
        self._pending = exporter.ledger.pending
        self._times, self._traces = recorder.times, recorder.traces
        self._bound, self._ruled, self._tail = recorder.bound, recorder.ruled, recorder.tail
        self._trusting = recorder.sampling.trusting
        self._until_measured = self._passing = self._until_cpu = 0
        self._growth_every = self._until_growth = recorder.growth_every or NEVER

    def open(self, x: Seen) -> object:
        """The request has come and its app is about to run; the result goes to `close`."""
        try:
            exporter = self._exporter
            if not exporter.started and not exporter.start():
                return None
            self._live[id(x)] = x
            self._until_measured -= 1
            if self._until_measured < 0:
                self._measure(x)
            if not self._traces:
                return None
            if exporter.spans is None or self._ruled or (self._trusting and x.traced()):
                return self._open_slowly(x)
            low = random_bits(64)
            if low < self._bound:
                self._sample(x, low)
            recorder = self._recorder
            return (recorder.ambience or recorder.surroundings()).enter(x.span)
        except Exception as fault:
            self._exporter.faults.note("the observation of a request", fault)
        return None

    def record(self, x: Seen) -> None:
        """The last byte is out, so the clock stops; what is done after it is counted apart."""
        try:
            self._live.pop(id(x), None)
            raw = x.facts()
            if x.costs is not None and x.costs.grown_from:
                x.costs.growth_bytes = statm.rss_bytes() - x.costs.grown_from
            trace = own = 0
            if x.span is not None or self._tail:
                trace, own = self._end_span(x, raw)
            if self._times and self._exporter.started:
                started, ended = x.started, x.ended_at
                duration_s = ended - started
                pending = self._pending
                pending.append(
                    Finished(
                        raw,
                        duration_s,
                        x.head_at - started,
                        ended,
                        duration_s,
                        x.sent_bytes,
                        0 if x.method in BODILESS else client_bytes(x.exchange()),
                        x.chunks,
                        x.costs,
                        0,
                        trace,
                        own,
                    )
                )
                if len(pending) > CROWDED:
                    self._ledger.relieve()
        except Exception as fault:
            self._exporter.faults.note("the observation of a request", fault)

    def close(self, x: Seen, token: Any) -> None:
        """The app has returned: its span is forgotten."""
        try:
            if token is not None:
                self._recorder.ambience.leave(token)
            if not x.ended_at:
                x.ended_at = monotonic()
                self.record(x)
            elif (behind_s := monotonic() - x.ended_at) > BEHIND_S:
                self._ledger.measure(behind(x.route, behind_s))
        except Exception as fault:
            self._exporter.faults.note("the observation of a request", fault)

    def leave(self, token: Any) -> None:
        """The span is forgotten."""
        try:
            self._recorder.ambience.leave(token)
        except Exception as fault:
            self._exporter.faults.note("the observation of a request", fault)

    def hand_over(self, x: Seen, whole: Exchange) -> None:
        """Leave the rest to the recorder, which knows the request by its exchange."""
        if self._live.pop(id(x), None) is not None:
            self._live[id(whole)] = whole
        if x.costs is None:
            x.costs = Costs(app_s=monotonic() - x.started)

    def _measure(self, x: Seen) -> None:
        """Have the CPU time of a request taken, or the growth of the process, or both.

        Whichever is next in turn says how many requests pass until then.
        """
        passed = self._passing + 1
        self._until_cpu -= passed
        self._until_growth -= passed
        if self._until_cpu < 0:
            self._until_cpu = CPU_EVERY
            whole = x.exchange()
            x.costs = Costs(cpu_s=0.0, queue_s=queued_s(whole))
            if whole.takes_turns:
                self._recorder.beat().begin()
        if self._until_growth < 0:
            self._until_growth = drawn(self._growth_every)
            x.costs = x.costs or Costs()
            x.costs.grown_from = statm.rss_bytes()
        self._until_measured = self._passing = max(min(self._until_cpu, self._until_growth), 0)

    def _open_slowly(self, x: Seen) -> object:
        """As `Recorder.start` and `Recorder.enter`, for what is not the common case."""
        whole = x.exchange()
        whole.flags = TRACED if x.traced() else 0
        self._recorder.sample(whole)
        x.span = span = whole.span
        if type(span) is OwnSpan:
            x.asked = asked(whole)
        return self._recorder.surround(span)

    def _sample(self, x: Seen, low: int) -> None:
        """Begin a trace; whom nobody trusts is linked to."""
        x.asked, traced = x.asks()
        x.span = span = root(low)
        if traced:
            span.link = link(sent(x.exchange()))

    def _end_span(self, x: Seen, raw: Facts) -> tuple[int, int]:
        """As `Recorder.end_span`, which has all but the common case."""
        span, told, recorder = x.span, x.asked, self._recorder
        if told is None or not span.sampled or recorder.captures is not None:
            whole = x.exchange()
            whole.done = True
            return recorder.end_span(whole, raw, told)
        ring = self._exporter.spans
        if ring is not None:
            ring.keep(SpanRecord(span, told, raw, x.sent_bytes, x.started, x.ended_at))
        return span.trace_id, span.span_id

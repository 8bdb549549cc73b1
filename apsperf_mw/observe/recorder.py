"""The suite's own observer: it counts each request, and makes the spans of sampled ones."""

from __future__ import annotations

from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.screen import TRACED
from apsperf_mw.observe.captured import captures
from apsperf_mw.observe.ids import random_bits, span_id, trace_id
from apsperf_mw.observe.ledger import CROWDED
from apsperf_mw.observe.measures import BEHIND
from apsperf_mw.observe.record import Costs, Finished
from apsperf_mw.observe.sampling import Sampling
from apsperf_mw.observe.series import error_type
from apsperf_mw.observe.spans import OwnSpan, SpanRecord, asked, client_bytes, root
from apsperf_mw.observe.statm import statm
from apsperf_mw.observe.waits import beat, queued_s

if TYPE_CHECKING:
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.exchange import Facts as Raw
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.record import Measured
    from apsperf_mw.observe.spans import Asked
    from apsperf_mw.runtime.loop import Beat
    from apsperf_mw.settings import Settings

# One request in so many has its CPU time taken: two looks at that clock cost a microsecond or two,
# and what is round them as much again.
CPU_EVERY = 32
# What goes on for less than this after the last byte is the app's way out.
BEHIND_S = 0.001
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# What the cache did where the app has not run for this request.
SERVED = frozenset({"hit", "collapsed", "stale"})


def drawn(every: int) -> int:
    """How many requests to let pass, at random so that no pattern of them goes unseen."""
    return random_bits(16) * 2 * every >> 16


def behind(route: str, behind_s: float) -> Measured:
    """What an app has done after the last byte, as a measurement."""
    return BEHIND, behind_s, (("http.route", route),) if route else ()


class Recorder:
    """Keeps of a request what a thread counts later; next to nothing is worked out on its way.

    Where the user has a tracer it makes the spans.
    """

    def __init__(self, exporter: MetricsExporter, settings: Settings) -> None:
        self.exporter = exporter
        self.times = settings.timing.enabled
        self.traces = tracing = settings.tracing.enabled
        self.sampling = sampling = Sampling(settings.tracing, exporter.faults)
        self.bound = sampling.bound
        self.ruled = sampling.by_path
        self.ambience: Any = None
        self._errors = tracing and settings.tracing.errors
        self._slow_s = settings.tracing.slow_s if tracing else 0.0
        self.tail = self._errors or self._slow_s > 0
        found = captures(settings, exporter.faults, unsampled=self.tail) if tracing else None
        self.captures = found
        self._live: dict[int, Any] = exporter.live
        self._pending = exporter.ledger.pending
        self._beat: Beat | None = None
        self._until_cpu = 0
        memory = settings.memory
        share = memory.request_ratio if memory.enabled and memory.leak_watch else 0.0
        self.growth_every = round(1 / share) if share else 0
        self._until_growth = self.growth_every

    def start(self, x: Exchange) -> None:
        """The request has come; sampling is decided before any other work."""
        exporter = self.exporter
        if not exporter.started and not exporter.start():
            return
        self._live[id(x)] = x
        if self.traces:
            self.sample(x)

    def sample(self, x: Exchange) -> None:
        """Begin the span of a request that is sampled."""
        exporter = self.exporter
        if exporter.spans is not None:
            if x.flags & TRACED:
                x.span = self.sampling.continued(x)
                return
            low = random_bits(64)
            if low < (self.sampling.bound_of(x.path) if self.ruled else self.bound):
                x.span = root(low)
        elif exporter.tracer is not None and not self.sampling.excludes(x.path):
            x.span = exporter.tracer.begin(x, self.captures, trusts=self.sampling.trusts(x))

    def enter(self, x: Exchange) -> object:
        """Let spans made inside the app, and requests that it sends, know theirs."""
        plan = x.plan
        if plan is None:
            return None
        now = monotonic()
        costs = plan.costs
        if costs is None:
            costs = plan.costs = Costs(now - x.started, now)
            self._until_cpu -= 1
            if self._until_cpu < 0:
                self._until_cpu = CPU_EVERY
                costs.cpu_s = 0.0
                costs.queue_s = queued_s(x)
                if x.takes_turns:
                    self.beat().begin()
            if self.growth_every:
                self._until_growth -= 1
                if self._until_growth < 0:
                    self._until_growth = drawn(self.growth_every)
                    costs.grown_from = statm.rss_bytes()
        else:
            costs.entered_at = now
        if costs.cpu_s is not None and not x.takes_turns:
            costs.entered_cpu = thread_time()
        plan.span = x.span
        return self.surround(x.span) if self.traces else None

    def surround(self, span: Any) -> object:
        """Put a span, or the one that stands for all that are not sampled, into the context."""
        if span is None and self.exporter.spans is None:
            return None
        ambience = self.ambience or self.surroundings()
        if span is None or type(span) is OwnSpan:
            return ambience.enter(span)
        return ambience.attach(span.context)

    def leave(self, x: Exchange, token: Any) -> None:
        """The app has returned: its time stops, and its span is forgotten."""
        if token is not None:
            self.ambience.leave(token)
        plan = x.plan
        if plan is None or plan.costs is None:
            return
        costs = plan.costs
        if costs.entered_at:
            costs.app_s += monotonic() - costs.entered_at
            costs.entered_at = 0.0
        elif x.done and (behind_s := monotonic() - x.ended_at) > BEHIND_S:
            self.exporter.ledger.measure(behind(x.route, behind_s))
        if costs.entered_cpu:
            costs.cpu_s += thread_time() - costs.entered_cpu
            costs.entered_cpu = 0.0

    def end(self, x: Exchange) -> None:
        """The last byte is out, so the clock stops; what is done after it is counted apart."""
        self._live.pop(id(x), None)
        plan = x.plan
        costs = None
        route = x.template
        if plan is not None:
            route, costs = plan.route, plan.costs
            if costs is not None:
                if costs.entered_at:
                    costs.app_s += x.ended_at - costs.entered_at
                    costs.entered_at = 0.0
                if costs.grown_from:
                    costs.growth_bytes = statm.rss_bytes() - costs.grown_from
                    costs.grown_from = 0
        raw = x.facts(route)
        spanned = x.span is not None or self.tail
        trace, own = self.end_span(x, raw, None) if spanned else (0, 0)
        if self.times and self.exporter.started:
            started, key = x.started, x.key
            pending = self._pending
            pending.append(
                Finished(
                    raw,
                    x.ended_at - started,
                    x.head_at - started,
                    x.ended_at,
                    0.0 if costs is None else costs.app_s,
                    x.sent_bytes,
                    0 if x.method in BODILESS else client_bytes(x),
                    x.chunks,
                    costs,
                    0 if key is None or x.voids or x.result in SERVED else hash(key),
                    trace,
                    own,
                )
            )
            if len(pending) > CROWDED:
                self.exporter.ledger.relieve()

    def end_span(self, x: Exchange, raw: Raw, known: Asked | None) -> tuple[int, int]:
        """Have the span exported, if it is sampled or wanted for its end; its ids, or zeros."""
        span: Any = x.span
        if span is not None and type(span) is not OwnSpan:
            return span.finish(x, self.captures)  # type: ignore[no-any-return]
        if (span is None or not span.sampled) and not (self.tail and self._wants(x)):
            return 0, 0
        span = span or self._late(x)
        span.sampled = True
        ring = self.exporter.spans
        if ring is not None:
            told = known or asked(x)
            record = SpanRecord(span, told, raw, x.sent_bytes, x.started, x.ended_at)
            if self.captures is not None:
                record.fields = self.captures.asked(x) + self.captures.answered(x)
            ring.keep(record)
        return span.trace_id, span.span_id

    def beat(self) -> Beat:
        """What looks at event loops; made when the first of them is seen."""
        if self._beat is None:
            self._beat = beat(self.exporter)
        return self._beat

    def surroundings(self) -> Any:
        """Where spans are put; made with the first of them, for it loads OpenTelemetry's API."""
        from apsperf_mw.observe.ambient import Ambience

        self.ambience = Ambience(self.bound)
        return self.ambience

    def _wants(self, x: Exchange) -> bool:
        """Whether a span that was not sampled is kept for what became of its request."""
        if self.exporter.spans is None or self.sampling.excludes(x.path):
            return False
        failed = self._errors and bool(error_type(x.status, x.error))
        return failed or 0 < self._slow_s < x.ended_at - x.started

    def _late(self, x: Exchange) -> OwnSpan:
        """The span of a request that was not sampled when it came, as others may know it."""
        plan = x.plan
        trace, own = (plan and plan.trace) or (trace_id(random_bits(64)), span_id())
        return OwnSpan(trace, own, 0, "", True)

"""All ways out of one process: the user's providers, and exporters of the suite's own."""

from __future__ import annotations

from functools import partial
from os import environ
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from apsperf_mw.__about__ import __version__
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.environment import metric_interval_s, whole_number
from apsperf_mw.observe.outlet import Outlet
from apsperf_mw.observe.ring import Ring
from apsperf_mw.observe.sinks import Choice, InMemory, choose
from apsperf_mw.settings import ExporterSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData

    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.ledger import Ledger
    from apsperf_mw.observe.losses import Losses
    from apsperf_mw.observe.points import Observed
    from apsperf_mw.observe.ring import Record
    from apsperf_mw.observe.series import Requests
    from apsperf_mw.observe.spans import Shown
    from apsperf_mw.observe.user_meters import UserMeters
    from apsperf_mw.observe.user_spans import UserTracer

# Spans in one export at most, as in OpenTelemetry's batch processor.
BATCH = 512
# Seconds that fewer wait for more: to send some costs as much as to encode hundreds.
SPANS_S = 1.0
VIEWS = "exporter.histograms: the views of the program's MeterProvider choose, not this setting"


class Outputs:
    """Chosen at the first request by `connect`; `open` and all after it run in one thread."""

    def __init__(
        self, settings: ExporterSettings, faults: Faults, losses: Losses, shown: Shown
    ) -> None:
        self.tracer: UserTracer | None = None
        self.meters: UserMeters | None = None
        self.spans: Ring | None = None
        self.memory = InMemory(settings.max_spans) if settings.kind == "memory" else None
        self.interval_s = settings.interval_s
        self._settings = settings
        self._faults = faults
        self._losses = losses
        self._shown = shown
        self._choice = Choice.nowhere()
        self._metric_outlet: Outlet | None = None
        self._span_outlet: Outlet | None = None
        self._opened = False
        self._most_spans = settings.max_spans
        self._batch = BATCH
        self._spans_due = 0.0
        self._named: tuple[Any, Any] | None = None
        self._started_ns = time_ns()

    def connect(
        self, ledger: Ledger, requests: Requests, observed: Sequence[Observed], *, keep: bool
    ) -> None:
        """Find the user's providers, or say what will be exported; a fault of one is noted."""
        self.attempt("the choice of exporters", self._choose)
        self.attempt("the use of the meter provider", partial(self._meter, ledger, observed))
        self.attempt("the use of the tracer provider", self._trace)
        meters = self.meters
        if meters is None:
            ledger.count, ledger.count_measured = requests.count, requests.count_measured
        elif keep:
            ledger.count = partial(_both, requests.count, meters.count)
            ledger.count_measured = partial(_both, requests.count_measured, meters.count_measured)
        else:
            ledger.count, ledger.count_measured = meters.count, meters.count_measured
        if self._choice.spans.names:
            self.attempt("the choice of bounds", self._bound)
            self.spans = Ring(self._most_spans, ledger.crowded, self._losses)

    def open(self) -> None:
        """Make the exporters and the resource, once; what cannot be made is noted."""
        if self._opened:
            return
        self._opened = True
        self._span_outlet = self._outlet("TRACES", self._choice.spans.names)
        self._metric_outlet = self._outlet("METRICS", self._choice.metrics.names)
        if self._span_outlet is None or not self._span_outlet.usable:
            self.spans = None

    def send_spans(self, *, flushed: bool) -> bool:
        """Export the spans that wait; stops at the first batch that fails, which is dropped.

        What is no full batch goes out once a second, or when everything is flushed.
        """
        ring, outlet = self.spans, self._span_outlet
        if ring is None or outlet is None:
            return outlet is None or outlet.whole
        now = monotonic()
        due = flushed or now >= self._spans_due
        if due:
            self._spans_due = now + min(SPANS_S, self.interval_s)
        for _ in range(len(ring) // self._batch + due):
            batch = ring.take(self._batch)
            send = partial(self._send_batch, outlet, batch)
            if batch and not self.attempt("the export of spans", send):
                self._losses.drop(len(batch))
                return False
        return outlet.whole

    def send_metrics(
        self, ledger: Ledger, requests: Requests, observed: Sequence[Observed]
    ) -> bool:
        """Export everything counted so far."""
        outlet = self._metric_outlet
        return outlet is None or outlet.export(self.collect(ledger, requests, observed))

    def collect(
        self, ledger: Ledger, requests: Requests, observed: Sequence[Observed]
    ) -> MetricsData:
        """Everything counted so far."""
        from apsperf_mw.observe.points import metrics_data

        resource, scope = self._identity()
        times_ns = (self._started_ns, time_ns())
        with ledger.lock:
            return metrics_data(requests, observed, resource, scope, times_ns)

    def flush_providers(self, until: float) -> bool:
        """Have the user's providers export what they hold."""
        went_out = True
        for provider in (self._choice.metrics.provider, self._choice.spans.provider):
            force_flush = getattr(provider, "force_flush", None)
            if force_flush is not None:
                timeout_ms = max(int((until - monotonic()) * 1000), 1)
                went_out &= self.attempt("the flush of providers", partial(force_flush, timeout_ms))
        return went_out

    def shutdown(self) -> None:
        """Let the exporters go."""
        for outlet in (self._span_outlet, self._metric_outlet):
            if outlet is not None:
                outlet.shutdown()

    def attempt(self, what: str, call: Callable[[], object]) -> bool:
        """Whether the call came back, and with anything but False; what it raises is noted."""
        try:
            return call() is not False
        except Exception as fault:
            self._faults.note(what, fault)
            return False

    def _bound(self) -> None:
        """The variables of OpenTelemetry's batch processor count where settings say nothing."""
        if self._most_spans == ExporterSettings().max_spans:
            self._most_spans = whole_number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", self._most_spans)
        self._batch = whole_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH)

    def _choose(self) -> None:
        settings = self._settings
        self._choice = choose(settings, self._faults)
        if settings.interval_s == ExporterSettings().interval_s:
            self.interval_s = metric_interval_s(environ) or settings.interval_s

    def _meter(self, ledger: Ledger, observed: Sequence[Observed]) -> None:
        provider = self._choice.metrics.provider
        if provider is not None:
            from apsperf_mw.observe.user_meters import UserMeters

            if self._settings.histograms == "exponential":
                self._faults.note("the choice of histograms", SettingError(VIEWS))
            self.meters = UserMeters(provider, ledger, observed, self._settings.max_series)

    def _trace(self) -> None:
        provider = self._choice.spans.provider
        if provider is not None:
            from apsperf_mw.observe.user_spans import UserTracer

            self.tracer = UserTracer(provider, self._shown)

    def _outlet(self, signal: Any, names: Sequence[str]) -> Outlet | None:
        if not names:
            return None
        outlet = Outlet(signal, names, self._faults, self._losses, self._shown)
        outlet.open(self.memory)
        return outlet

    def _send_batch(self, outlet: Outlet, batch: Sequence[Record]) -> bool:
        from apsperf_mw.observe.readable import Readable

        return outlet.export_spans(batch, Readable(*self._identity(), self._shown))

    def _identity(self) -> tuple[Any, Any]:
        """Who exports; made once, in the thread, for it takes milliseconds."""
        if self._named is None:
            from apsperf_mw.observe.readable import identity

            self._named = identity(__version__)
        return self._named


def _both(one: Callable[[Any], None], other: Callable[[Any], None], batch: Any) -> None:
    one(batch)
    other(batch)

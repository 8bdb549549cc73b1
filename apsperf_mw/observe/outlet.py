"""One signal's way out of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.observe.fast import fast
from apsperf_mw.observe.sinks import make_exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.environment import Signal
    from apsperf_mw.observe.losses import Losses
    from apsperf_mw.observe.ring import Record
    from apsperf_mw.observe.sinks import InMemory
    from apsperf_mw.observe.spans import Shown


class Outlet:
    """The exporters of one signal, used by one thread alone; their faults are noted.

    `whole` is whether all of them could be made.
    """

    def __init__(
        self, signal: Signal, names: Sequence[str], faults: Faults, losses: Losses, shown: Shown
    ) -> None:
        self._signal: Signal = signal
        self._names = names
        self._faults = faults
        self._losses = losses
        self._shown = shown
        self._exporters: list[Any] = []
        self.whole = True

    @property
    def usable(self) -> bool:
        """Whether there is anywhere to export to."""
        return bool(self._exporters)

    def open(self, memory: InMemory | None) -> None:
        """Make the exporters; takes hundreds of milliseconds for their imports."""
        self._exporters = list(self._made(memory))

    def export(self, data: Any) -> bool:
        """Hand the data to every exporter; whether all that were asked for have taken it."""
        token = _suppress_tracing()
        try:
            taken = [self._taken(exporter, data) for exporter in self._exporters]
        finally:
            _detach(token)
        return self.whole and all(taken)

    def export_spans(
        self, records: Sequence[Record], readable: Callable[[Sequence[Record]], Any]
    ) -> bool:
        """As `export`, of spans in our own form: exporters that take those get them."""
        token = _suppress_tracing()
        made: list[Any] = []
        try:
            taken = []
            for exporter in self._exporters:
                take = getattr(exporter, "take", None)
                if take is not None:
                    taken.append(self._tried(take, records, readable))
                    continue
                made = made or readable(records)
                taken.append(self._taken(exporter, made))
        finally:
            _detach(token)
        return self.whole and all(taken)

    def shutdown(self) -> None:
        """Let the exporters go."""
        for exporter in self._exporters:
            try:
                exporter.shutdown()
            except Exception as fault:
                self._faults.note(f"the shutdown of an exporter for {self._signal.lower()}", fault)
        self._exporters = []

    def _made(self, memory: InMemory | None) -> Iterator[Any]:
        for name in self._names:
            try:
                made = make_exporter(self._signal, name, memory)
                yield fast(made, self._shown) if self._signal == "TRACES" else made
            except Exception as fault:
                self.whole = False
                self._faults.note(f"the making of an exporter for {self._signal.lower()}", fault)

    def _taken(self, exporter: Any, data: Any) -> bool:
        return self._tried(exporter.export, data)

    def _tried(self, export: Callable[..., Any], *data: Any) -> bool:
        try:
            if export(*data).name == "SUCCESS":
                return True
        except Exception as fault:
            self._faults.note(f"the export of {self._signal.lower()}", fault)
        self._losses.fail(self._signal.lower())
        return False


def _suppress_tracing() -> Any:
    """Have instrumented HTTP clients make no spans of our exports, as the SDK does."""
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value

    return attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))


def _detach(token: Any) -> None:
    from opentelemetry.context import detach

    detach(token)

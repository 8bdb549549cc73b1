"""What a suite tells of the app, and what it is told by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from apsperf_mw.errors import SettingError
from apsperf_mw.ops.health import CHECK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from apsperf_mw.doctor import Checkup, Route
    from apsperf_mw.observe.allocations import Site
    from apsperf_mw.observe.children import Children
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.observe.memory import Memory
    from apsperf_mw.observe.report import Report as BottleneckReport
    from apsperf_mw.observe.tallies import Tallies
    from apsperf_mw.ops.health import Health
    from apsperf_mw.profiling.requests import Profiles
    from apsperf_mw.settings import Settings
    from apsperf_mw.suite import Suite


class Diagnosis:
    """The part of a suite that observes."""

    settings: Settings
    exporter: MetricsExporter
    children: Children
    tallies: Tallies
    memory: Memory | None
    health: Health
    profiles: Profiles | None
    # The routes of the app, as its adapter lists them.
    lists: Callable[[], Iterable[Route]]

    def statement(self, text: str, system: str = "other_sql") -> AbstractContextManager[None]:
        """Have the statement that runs inside counted, timed and traced with its request.

        `text` may have values in it: none of them is told. `system` is the database's name in
        the semantic conventions, such as `postgresql` or `sqlite`.
        """
        return self.children.statement(text, system)

    def drain(self) -> None:
        """Say at `health.ready_path` from now on that this process takes no more requests."""
        self.health.drain()

    def readiness(
        self, name: str, check: Callable[[], object], *, timeout_s: float = CHECK_S
    ) -> None:
        """Have `health.ready_path` ask this too: False, or an exception, says not ready.

        It is asked at each probe and may be async. Under ASGI one that lasts longer than
        `timeout_s` says not ready; what is not async is asked in a worker thread there. Under WSGI
        an async one gets an event loop of its own each time, with that time-out, and one that is
        not must be quick: where a call hangs, those after it say not ready.
        """
        self.health.check(name, check, timeout_s)

    def report(self) -> BottleneckReport:
        """Where the time goes, route by route, in this process; `print` it, or `as_dict` it."""
        from apsperf_mw.observe.report import report

        self.exporter.ledger.drain(wait=True)
        loads = self.children.statements.loads
        loads.drain()
        with self.exporter.ledger.lock:
            leaks = None if self.memory is None else self.memory.leaks
            return report(self.tallies, leaks, loads.unused())

    def doctor(self) -> Checkup:
        """What works, what does not, and what may surprise; `print` it. Asks every driver once."""
        from apsperf_mw.doctor import look

        return look(cast("Suite", self), self.lists())

    def profile(self, seconds: float = 5.0, form: str = "html") -> str:
        """What all threads of this process do for so many seconds, by route; blocks.

        `form` is html, speedscope or text. `SettingError` unless `profiling.enabled`;
        `APSPerfError` where another profile is under way.
        """
        from time import sleep

        from apsperf_mw.profiling.formats import KINDS, written

        if self.profiles is None:
            raise SettingError("profiling.enabled: it is off; accepted: true")
        if form not in KINDS:
            raise SettingError(f"form: {form!r} given; accepted: {', '.join(KINDS)}")
        sampler = self.profiles.sampler(seconds)
        sleep(min(seconds, self.profiles.max_s))
        return written(sampler.stop(f"this process for {seconds:g} s"), form)

    def memory_report(self) -> dict[str, object]:
        """The memory of this process now, also what it has to itself; takes milliseconds."""
        from apsperf_mw.observe.memory import look

        return look(self.memory)

    def allocations(self, seconds: float = 10.0, top: int = 20) -> list[Site]:
        """The lines of code that allocate most and do not free, watched for so many seconds.

        Slows this process down meanwhile, which is a minute at most; blocks. `APSPerfError` where
        another call is under way.
        """
        from apsperf_mw.observe.allocations import allocations

        return allocations(seconds, top)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Export what has been recorded; whether all of it went out in time.

        Into the user's providers too, where they are used. Takes `exporter.flush_timeout_s` at
        most unless told otherwise.
        """
        most_s = self.settings.exporter.flush_timeout_s
        return self.exporter.flush(most_s if timeout_s is None else timeout_s)

    async def aflush(self) -> None:
        """Flush without holding the event loop."""
        from apsperf_mw.runtime.loop import hop

        await hop(self.flush)

"""The warm-up itself: some workers, one pace, and a result for each page."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.warm.apps import AppError
from apsperf_mw.warm.origin import Refused
from apsperf_mw.warm.report import NO_STATUS, Report, Result, read_status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from apsperf_mw.warm.apps import Traits
    from apsperf_mw.warm.asking import Answer, Asker, Field
    from apsperf_mw.warm.origin import Origin

    Done = Callable[["Page", Result], None]

MOST_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))


def _nothing(page: Page, result: Result) -> None:
    """What is done with a result by those who want only the report."""


class NoSuite(AppError):
    """An answer shows that there is no suite round the app, or that it does not tell."""

    def __init__(self) -> None:
        super().__init__(
            "the answers bear no Cache-Status of the suite; accepted: an app with the suite round"
            " it, and cache.status_header on"
        )


class Page(Struct, frozen=True):
    """One target in one variant."""

    target: str
    headers: tuple[Field, ...] = ()


class Pace:
    """Lets callers through at `rate` a second, evenly; at once where there is no rate."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._gap_s = 1 / rate if rate else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for one's turn; turns that nobody took are lost."""
        now = self._clock()
        turn = max(self._next, now)
        self._next = turn + self._gap_s
        if turn > now:
            await self._sleep(turn - now)


class Pages:
    """The pages to ask for: of the origin, each once in each variant, `limit` at most.

    What is refused is counted in the report.
    """

    def __init__(
        self, origin: Origin, headers: Iterable[Field], limit: int, report: Report
    ) -> None:
        self.pages: list[Page] = []
        self._origin = origin
        self._variants = list(variants(headers))
        self.limit = limit
        self._report = report
        self._seen: set[str] = set()

    def add(self, urls: Iterable[str]) -> None:
        """Take URLs until the limit is reached; the rest is not looked at."""
        for url in urls:
            target = self.accept(url)
            if target is None or target in self._seen:
                continue
            if len(self.pages) + len(self._variants) > self.limit:
                self._report.limited = True
                return
            self._seen.add(target)
            self.pages.extend(Page(target, variant) for variant in self._variants)

    def accept(self, url: str) -> str | None:
        """The target of a URL, or None where it is refused."""
        try:
            return self._origin.target(url)
        except Refused as refusal:
            self._report.add(Result(url, "refused", str(refusal)))
            return None


def variants(headers: Iterable[Field]) -> Iterator[tuple[Field, ...]]:
    """Every combination of the values given for each name; one empty one where there are none."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    for chosen in product(*values.values()):
        yield tuple(zip(values, chosen, strict=True))


class Warming(Struct):
    """How pages are asked for.

    `confirm` asks once more for what is said to be stored, which must be found then. `says` is
    False where the suite is known not to write Cache-Status. With `demand` an answer without it
    raises `NoSuite`.
    """

    asker: Asker
    origin: Origin
    pace: Pace
    timeout_s: float
    confirm: bool = False
    says: bool = True
    demand: bool = False

    def heed(self, known: Traits | None) -> None:
        """Do as the suite in this process tells; one that cannot be seen must show itself."""
        self.confirm = True
        self.demand = known is None
        self.says = known is None or known.says

    async def run(
        self, pages: Sequence[Page], concurrency: int, report: Report, done: Done = _nothing
    ) -> None:
        """Ask for all pages, and hand each with its result to `done`."""
        from anyio import create_task_group

        waiting = iter(pages)

        async def work() -> None:
            for page in waiting:
                result = await self.warm(page)
                report.add(result)
                done(page, result)

        try:
            async with create_task_group() as tasks:
                for _ in range(min(concurrency, len(pages))):
                    tasks.start_soon(work)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        report.complete = True

    async def warm(self, page: Page) -> Result:
        """Ask for one page, and for those to which it redirects."""
        try:
            target, answer = await self.arrive(page.target, page.headers)
            result = self._judge(page.target, answer)
            if result.kind == "stored" and self.confirm:
                result = await self._confirmed(Page(target, page.headers), result)
            return result
        except NoSuite:
            raise
        except Refused as refusal:
            return Result(page.target, "failed", f"redirect: {refusal}")
        except Exception as error:
            return Result(page.target, "failed", type(error).__name__, str(error))

    async def arrive(
        self, target: str, headers: Sequence[Field] = (), keep: int = 0
    ) -> tuple[str, Answer]:
        """Where the target's redirects end, and the answer there.

        `Refused` where they lead off the host or do not end.
        """
        for _ in range(MOST_REDIRECTS + 1):
            await self.pace.turn()
            answer = await self._ask(target, headers, keep)
            locations = answer.lines("location")
            if answer.status not in REDIRECTS or not locations:
                return target, answer
            target = self.origin.follow(target, locations[0])
        raise Refused(f"more than {MOST_REDIRECTS} in a row")

    async def _ask(self, target: str, headers: Sequence[Field], keep: int = 0) -> Answer:
        """One request; `TimeoutError` where it takes longer than `timeout_s`."""
        from anyio import fail_after

        with fail_after(self.timeout_s):
            return await self.asker.ask(target, headers, keep)

    async def _confirmed(self, page: Page, result: Result) -> Result:
        """The result, unless the page that is said to be stored is not found.

        Takes no turn: what is found costs the app nothing.
        """
        again = self._judge(page.target, await self._ask(page.target, page.headers))
        if again.kind == "fresh":
            return result
        return Result(result.target, "not_stored", "not found when asked for again")

    def _judge(self, target: str, answer: Answer) -> Result:
        if answer.status >= 400:
            return Result(target, "failed", f"status {answer.status}")
        kind, reason = read_status(answer.lines("cache-status"))
        if reason != NO_STATUS:
            return Result(target, kind, reason)
        if self.demand:
            raise NoSuite
        return Result(target, kind, reason) if self.says else Result(target, "unsaid")

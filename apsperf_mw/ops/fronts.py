"""Answers before the app, whatever serves them."""

from __future__ import annotations

from hmac import compare_digest
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from apsperf_mw.errors import SettingError
from apsperf_mw.ops.signals import drain_on_term

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.exchange import Header
    from apsperf_mw.observe.export import MetricsExporter
    from apsperf_mw.ops.families import Family
    from apsperf_mw.settings import PrometheusSettings
    from apsperf_mw.suite import Suite

NO_STORE = (b"cache-control", b"no-store")
METHODS = frozenset({"GET", "HEAD"})
REFUSED = "a scrape without the token"


class Asked(NamedTuple):
    """What a front needs to know of a request; `field` gives one of its fields, or nothing."""

    method: str
    field: Callable[[str], str]


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: list[Header]
    body: bytes


class Fronts:
    """The paths that are not the app's, each with what answers there."""

    def __init__(self, suite: Suite) -> None:
        settings = suite.settings
        self.health = suite.health
        self.profiles = suite.profiles
        self.paths: dict[str, Callable[[Asked], Answer | None]] = {}
        self._drains = settings.health.enabled
        self._ready_path = settings.health.ready_path if self._drains else None
        if settings.health.enabled:
            self.paths[settings.health.live_path] = alive
            self.paths[settings.health.ready_path] = self._ready
        if settings.prometheus.enabled:
            self.paths[settings.prometheus.path] = Scrape(suite.exporter, settings.prometheus)

    def begin(self) -> None:
        """The process serves: from now on a signal to end it is one to drain."""
        if self._drains:
            drain_on_term(self.health)

    def answer(self, path: str, asked: Asked) -> Answer | None:
        """The answer to a request for one of the paths; None where the app is to answer."""
        front = self.paths.get(path)
        if front is None:
            return None
        return allowed(asked, front(asked))

    async def aanswer(self, path: str, asked: Asked) -> Answer | None:
        """As `answer`, from an event loop."""
        if path == self._ready_path:
            return allowed(asked, readiness(await self.health.areason()))
        from apsperf_mw.runtime.loop import hop

        # What is collected for a scraper takes milliseconds.
        return await hop(self.answer, path, asked)

    def _ready(self, _: Asked) -> Answer:
        return readiness(self.health.reason())


class Scrape:
    """Prometheus asks here."""

    def __init__(self, exporter: MetricsExporter, settings: PrometheusSettings) -> None:
        if find_spec("prometheus_client") is None:
            raise SettingError(
                'prometheus.enabled: it needs a package: pip install "apsperf-mw[prometheus]"'
            )
        self._exporter = exporter
        self._token = settings.token.encode("ascii")
        self._workers: Any = None
        if settings.directory:
            from apsperf_mw.ops.workers import Workers

            self._workers = Workers(settings.directory)
            exporter.every(1.0, self._tell)
            exporter.at_end(self._tell)
        exporter.keep()

    def __call__(self, asked: Asked) -> Answer | None:
        """The numbers; None, so that nobody learns of them, to who should have a token."""
        if self._token and not self._opens(asked.field("authorization")):
            self._exporter.faults.counts[REFUSED] += 1
            return None
        from apsperf_mw.ops.exposition import written

        self._exporter.start()
        families = self._families()
        if self._workers is not None:
            self._leave(families)
            families = self._workers.all(families)
        kind, body = written(families, asked.field("accept"))
        return Answer(200, headers(kind, body), body)

    def _opens(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("utf-8", "replace")
        return compare_digest(given, self._token) and scheme.lower() == "bearer"

    def _families(self) -> list[Family]:
        from apsperf_mw.ops.families import families

        return list(families(self._exporter.collect()))

    def _tell(self) -> None:
        self._leave(self._families())

    def _leave(self, families: list[Family]) -> None:
        """Tell the host's other workers; a disk that is full is no reason to tell nobody."""
        try:
            self._workers.tell(families)
        except OSError as fault:
            self._exporter.faults.note("prometheus.directory", fault)


def allowed(asked: Asked, answer: Answer | None) -> Answer | None:
    """The answer, to who may ask so."""
    if answer is not None and asked.method not in METHODS:
        return plain(405, "accepted: GET, HEAD", (b"allow", b"GET, HEAD"))
    return answer


def readiness(reason: str) -> Answer:
    """Whether the process is ready."""
    return plain(503, f"not ready: {reason}") if reason else plain(200, "ready")


def alive(_: Asked) -> Answer:
    """The process lives, or it would not say so."""
    return plain(200, "alive")


def plain(status: int, text: str, *more: Header) -> Answer:
    """A line of text."""
    body = text.encode() + b"\n"
    return Answer(status, [*headers("text/plain; charset=utf-8", body), *more], body)


def headers(kind: str, body: bytes) -> list[Header]:
    """What every answer says of itself."""
    return [
        (b"content-type", kind.encode("ascii")),
        (b"content-length", b"%d" % len(body)),
        NO_STORE,
        (b"x-content-type-options", b"nosniff"),
    ]

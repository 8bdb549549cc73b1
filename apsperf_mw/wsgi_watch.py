"""The WSGI shells of a suite whose cache is off: one that observes, one that does nothing."""

from __future__ import annotations

from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import UNPLANNED, Plan, current
from apsperf_mw.cache.screen import TRACING, environ_name
from apsperf_mw.observe.spans import bounded
from apsperf_mw.observe.watcher import Watcher
from apsperf_mw.pull import Pull
from apsperf_mw.wsgi import WSGIShell
from apsperf_mw.wsgi_gate import WSGIExchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.exchange import Facts
    from apsperf_mw.observe.spans import Asked
    from apsperf_mw.suite import Suite
    from apsperf_mw.wsgi import Environ, StartResponse, Write, WSGIApp

TRACES = frozenset(map(environ_name, TRACING))
MOST_NAMES = 512
PIECES = frozenset({list, tuple})


class PassWSGIShell(WSGIShell):
    """Passes everything on: there is nothing to do for a request."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        return self.app(environ, start_response)


class WatchWSGIShell(WSGIShell):
    """Has the suite's own recorder see requests, and leaves them and their responses as they are.

    What `Recorder` does for any shell is written out here in as few calls as it takes.
    """

    def __init__(self, suite: Suite, app: WSGIApp) -> None:
        super().__init__(suite, app)
        assert suite.recorder is not None
        self.recorder = Watcher(suite.recorder)
        self.names = Names(self.ours)
        self.codes = Codes()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        recorder = self.recorder
        method = environ.get("REQUEST_METHOD", "")
        now = monotonic()
        x = environ["apsperf.plan"] = Seen(*UNPLANNED, method, now, environ, start_response, self)
        token = recorder.open(x)
        planned = current.set(x)
        costs = x.costs
        if costs is not None and costs.cpu_s is not None:
            costs.entered_cpu = thread_time()
        try:
            body = self.app(environ, x.begin)
        except BaseException as error:
            x.error = type(error).__qualname__
            x.ended_at = monotonic()
            recorder.record(x)
            raise
        finally:
            current.reset(planned)
            if costs is not None and costs.cpu_s is not None:
                costs.cpu_s += thread_time() - costs.entered_cpu
                costs.entered_cpu = 0.0
            if token is not None:
                recorder.leave(token)
        if type(body) not in PIECES:
            return self._pulled(x, body, environ)
        for chunk in body:
            x.chunks += 1
            x.sent_bytes += len(chunk)
        x.ended_at = monotonic()
        recorder.record(x)
        x.let_go()
        return body

    def _pulled(self, x: Seen, body: Iterable[bytes], environ: Environ) -> Iterable[bytes]:
        """A body that is pulled; it goes on as any shell's does."""
        x.whole = whole = x.exchange()
        self.recorder.hand_over(x, whole)
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            x.let_go()
            return self._file(whole, body)
        return Pulled(self, whole, x, body)  # type: ignore[arg-type]


class Pulled(Pull):
    """A body that is pulled."""

    __slots__ = ()

    def close(self) -> None:
        """Close it; what is known of the request goes."""
        try:
            super().close()
        finally:
            self._head.let_go()  # type: ignore[attr-defined]


class Names(dict[str, bool]):
    """What is known of the names of response fields: whether they are said to us alone.

    One that is not known yet is asked about; past so many all are forgotten.
    """

    def __init__(self, ours: frozenset[bytes]) -> None:
        super().__init__()
        self._ours = frozenset(name.decode("latin-1") for name in ours)

    def bare(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The head without what is said to us alone; its names are known from now on."""
        headers = list(headers)
        if len(self) > MOST_NAMES:
            self.clear()
        for name, _ in headers:
            self[name] = name.lower() in self._ours
        return [field for field in headers if not self[field[0]]]


class Codes(dict[str, int]):
    """The codes of the status lines that were seen, 0 for one that has none."""

    def __missing__(self, status: str) -> int:
        if len(self) > MOST_NAMES:
            self.clear()
        code = status[:3]
        self[status] = known = int(code) if code.isdecimal() else 0
        return known


class Seen(Plan, eq=False):
    """One request of a suite without a cache: its plan, and what its app has sent."""

    method: str = ""
    started: float = 0.0
    environ: Any = None
    start: Any = None
    shell: Any = None
    asked: Any = None
    status: int = 0
    head_at: float = 0.0
    ended_at: float = 0.0
    sent_bytes: int = 0
    chunks: int = 0
    error: str = ""
    whole: Any = None
    instead: bytes | None = None
    given: Any = None

    def begin(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Write:
        """The app's `start_response`: pass the head on."""
        self.head_at = monotonic()
        self.status = self.shell.codes[status]
        if self.whole is not None:
            self.whole.status, self.whole.head_at = self.status, self.head_at
        names = self.shell.names
        for name, _ in headers:
            if names.get(name, True):
                headers = names.bare(headers)
                break
        start = self.start
        if exc_info is None:
            self.given = start(status, headers)
        else:
            self.given = start(status, headers, exc_info)
        return self.write

    def write(self, chunk: bytes) -> object:
        """Pass on what the app writes by itself (PEP 3333)."""
        self.chunks += 1
        self.sent_bytes += len(chunk)
        return self.given(chunk)

    @property
    def scheme(self) -> str:
        """The URL scheme, lower case."""
        return (self.environ or {}).get("wsgi.url_scheme", "http")  # type: ignore[no-any-return]

    def facts(self) -> Facts:
        """What tells its series from others'."""
        environ = self.environ
        scheme = environ["wsgi.url_scheme"]
        version = environ.get("SERVER_PROTOCOL", "HTTP/1.1")[5:]
        return self.method, scheme, self.route, self.status, version, self.error, "off"

    def traced(self) -> bool:
        """Whether the caller has sent trace context."""
        return not self.environ.keys().isdisjoint(TRACES)

    def asks(self) -> tuple[Asked, bool]:
        """What its span says of it, and whether the caller has sent trace context."""
        get = self.environ.get
        port = str(get("SERVER_PORT", ""))
        path = get("SCRIPT_NAME", "") + get("PATH_INFO", "")
        told = bounded(
            path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace"),
            get("QUERY_STRING", "").encode("latin-1"),
            (get("HTTP_HOST", "").encode("latin-1"), get("HTTP_USER_AGENT", "").encode("latin-1")),
            (get("SERVER_NAME", ""), int(port) if port.isdecimal() else None),
            get("REMOTE_ADDR", ""),
        )
        return told, self.traced()

    def let_go(self) -> None:
        """Let go of what leads back to it: the environ, and the server beside that."""
        self.environ = self.start = self.given = self.whole = self.late = None

    def exchange(self) -> WSGIExchange:
        """As the rest of the suite knows a request."""
        x = WSGIExchange(self.environ, self.method, self.started)
        x.plan, x.span, x.result = self, self.span, "off"
        x.status, x.error, x.sent_bytes = self.status, self.error, self.sent_bytes
        x.head_at, x.ended_at, x.chunks = self.head_at, self.ended_at, self.chunks
        return x

    def rescues(self, error: BaseException) -> bool:  # noqa: ARG002
        """Nothing stands in for a failure."""
        return False

"""One request under a profile: who bears the token gets the profile in place of the page."""

from __future__ import annotations

from hmac import compare_digest
from importlib.util import find_spec
from secrets import token_urlsafe
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.errors import APSPerfError, SettingError
from apsperf_mw.profiling.sampling import Sampler
from apsperf_mw.runtime.loop import hop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.exchange import Header
    from apsperf_mw.faults import Faults
    from apsperf_mw.profiling.sampling import Profile
    from apsperf_mw.settings import ProfilingSettings

FIELD = b"apsperf-profile"
ENVIRON_FIELD = "HTTP_APSPERF_PROFILE"
REFUSED = "a profile without the token"
PARAMETER = FIELD + b"="
# What servers call the target as it came.
RAW_NAMES = ("RAW_URI", "REQUEST_URI")
FORMS = ("html", "speedscope", "text")
BUSY = "another profile is under way in this process"
# The page has its scripts and its styles within; it needs nothing from anywhere.
POLICY = (
    "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Busy(APSPerfError):
    """Another profile is under way."""


class Page(NamedTuple):
    """A profile as a response."""

    status: int
    headers: list[Header]
    body: bytes


class Wish(NamedTuple):
    """A form, and for how long the whole process is meant; None is for this request."""

    form: str
    seconds: float | None = None


class Profiles:
    """Makes profiles, one at a time."""

    def __init__(self, settings: ProfilingSettings, faults: Faults) -> None:
        if not settings.token:
            raise SettingError(
                "profiling.token: not set; accepted where profiling.enabled is true: "
                "text of 16 to 512 visible characters"
            )
        if find_spec("pyinstrument") is None:
            raise SettingError(
                'profiling.enabled: it needs a package: pip install "apsperf-mw[profile]"'
            )
        self._settings = settings
        self._token = settings.token.encode("ascii")
        self._faults = faults

    def wish(self, value: bytes) -> Wish | None:
        """What a field with the token asks for; None without the token."""
        token, *rest = value.split(b";")
        if not compare_digest(token.strip(), self._token):
            self._faults.counts[REFUSED] += 1
            return None
        asked: dict[str, str] = {}
        for each in rest:
            name, _, value_of = each.decode("latin-1").strip().partition("=")
            asked[name] = value_of
        form, digits = asked.get("format", ""), asked.get("seconds", "")
        seconds = float(digits[:6]) if digits.isdecimal() else None
        return Wish(form if form in FORMS else FORMS[0], seconds)

    def asked(self, query: bytes) -> tuple[Wish | None, bytes]:
        """What a query with the token asks for, and the query without that."""
        parts = query.split(b"&")
        wish = None
        for part in parts:
            if part.startswith(PARAMETER):
                wish = wish or self.wish(unquote_to_bytes(part.removeprefix(PARAMETER)))
        return wish, b"&".join([part for part in parts if not part.startswith(PARAMETER)])

    def wish_in(self, environ: dict[str, Any]) -> Wish | None:
        """What a WSGI environ with the token asks for, which is then in it no more."""
        wish = None
        query = environ.get("QUERY_STRING", "").encode("latin-1", "replace")
        if ENVIRON_FIELD in environ:
            wish = self.wish(environ[ENVIRON_FIELD].encode("latin-1", "replace"))
        if PARAMETER in query:
            found, query = self.asked(query)
            wish = wish or found
        if wish is not None:
            environ["QUERY_STRING"] = text = query.decode("latin-1")
            for name in RAW_NAMES:
                if name in environ:
                    path = environ[name].partition("?")[0]
                    environ[name] = f"{path}?{text}" if text else path
        return wish

    def worker(self, wish: Wish) -> Page:
        """All threads of the process for the seconds that are wished for, by route; blocks."""
        seconds = min(wish.seconds or self.max_s, self.max_s)
        try:
            sampler = self.sampler(seconds)
        except Busy as busy:
            return refused(busy)
        sleep(seconds)
        return page(sampler.stop(f"a process for {seconds:g} s"), wish.form, 200)

    def sampler(self, seconds: float | None = None, only: Plan | None = None) -> Sampler:
        """A profile that has begun; `Busy` where another is under way."""
        most_s = self._settings.max_s
        sampler = Sampler(self._settings.interval_s, min(seconds or most_s, most_s), only)
        if not sampler.start():
            raise Busy(BUSY)
        return sampler

    @property
    def max_s(self) -> float:
        """How long a profile takes at most."""
        return self._settings.max_s

    async def asgi(self, app: Any, scope: Any, receive: Any, wish: Wish) -> Page:
        """Run an ASGI app for one request, at most so long, and say what it did."""
        from anyio import move_on_after

        if wish.seconds is not None:
            return await hop(self.worker, wish)
        plan = Plan()
        scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != FIELD]}
        scope["state"] = {**(scope.get("state") or {}), "apsperf": plan}
        status = [0]

        async def send(message: Any) -> None:
            status[0] = message.get("status", status[0])

        try:
            sampler = self.sampler(only=plan)
        except Busy as busy:
            return refused(busy)
        try:
            with move_on_after(self.max_s):
                await run_asgi(app, scope, receive, send, plan)
        finally:
            profile = sampler.stop(about(scope["method"], scope["path"]))
        return page(profile, wish.form, status[0])

    def wsgi(self, app: Any, environ: dict[str, Any], wish: Wish) -> Page:
        """As `asgi`, by this thread; its body is read no longer than that."""
        if wish.seconds is not None:
            return self.worker(wish)
        plan = environ["apsperf.plan"] = Plan()
        environ.pop(ENVIRON_FIELD, None)
        try:
            sampler = self.sampler(only=plan)
        except Busy as busy:
            return refused(busy)
        try:
            status = run_wsgi(app, environ, plan, monotonic() + self.max_s)
        finally:
            told = about(environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", ""))
            profile = sampler.stop(told)
        return page(profile, wish.form, status)


async def run_asgi(app: Any, scope: Any, receive: Any, send: Any, plan: Plan) -> None:
    """The app's work; by this frame the profile knows it."""
    token = current.set(plan)
    try:
        await app(scope, receive, send)
    finally:
        current.reset(token)


def run_wsgi(app: Any, environ: Any, plan: Plan, deadline: float) -> int:
    """The app's work, its body too; by this frame the profile knows it."""
    status = [0]

    def start(line: str, headers: Any, exc_info: Any = None) -> Any:  # noqa: ARG001
        status[0] = int(line[:3])
        return lambda chunk: None  # noqa: ARG005

    token = current.set(plan)
    body: Iterable[bytes] = ()
    try:
        body = app(environ, start)
        for _ in body:
            if monotonic() > deadline:
                break
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
        current.reset(token)
    return status[0]


def about(method: str, path: str) -> str:
    """What a profile says that it is of: no query, and nothing that could be markup."""
    from apsperf_mw.observe.lines import safe

    return safe(f"{method} {path}").translate({ord(each): "?" for each in "<>&\"'"})


def page(profile: Profile, form: str, status: int) -> Page:
    """The profile as a response."""
    from apsperf_mw.profiling.formats import KINDS, written

    body, scripts = written(profile, form), "'none'"
    if form == "html":
        body, scripts = guarded_page(body)
    encoded = body.encode("utf-8", "replace")
    headers = [
        (b"content-type", KINDS[form].encode("ascii")),
        (b"content-length", b"%d" % len(encoded)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", POLICY.format(scripts).encode("ascii")),
        (b"apsperf-profile-status", b"%d%b" % (status, b"; cut" if profile.cut else b"")),
    ]
    return Page(200, headers, encoded)


def guarded_page(body: str) -> tuple[str, str]:
    """The page, and the scripts that may run in it."""
    from apsperf_mw.profiling.formats import guarded

    nonce = token_urlsafe(16)
    try:
        return guarded(body, nonce), f"'nonce-{nonce}'"
    except LookupError:
        return body, "'unsafe-inline'"


def refused(busy: Busy) -> Page:
    """Why there is no profile."""
    body = f"{busy}\n".encode()
    length = b"%d" % len(body)
    kind = (b"content-type", b"text/plain; charset=utf-8")
    waits = [(b"retry-after", b"5"), (b"cache-control", b"no-store"), (b"content-length", length)]
    return Page(429, [kind, *waits], body)

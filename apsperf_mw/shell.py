"""What both shells share: what the cache may answer, and the ends of an exchange."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.faces import is_shared
from apsperf_mw.cache.flights import Outcome
from apsperf_mw.cache.leases import end_leases
from apsperf_mw.cache.making import stripped_names
from apsperf_mw.cache.revival import fallback, heed_head, land
from apsperf_mw.cache.rules.terms import SAFE_METHODS
from apsperf_mw.cache.screen import COOKIE, DETOUR, detour, only_ignored
from apsperf_mw.cache.voiding import invalidate
from apsperf_mw.cache.wire import STATUS, app_status, with_key
from apsperf_mw.http.status import forward_status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from apsperf_mw.cache.entry import Entry, Fork
    from apsperf_mw.cache.faces import Face
    from apsperf_mw.cache.flow import Later
    from apsperf_mw.cache.keys import Key
    from apsperf_mw.cache.rules.answer import Form
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.observe.series import Attributes
    from apsperf_mw.suite import Suite

STORED = (STATUS, forward_status("uri-miss", stored=True))
JUST_STORED = (STORED,)
# What spans of the store's I/O say.
READ: Attributes = {"db.operation.name": "GET", "apsperf.cache.store": "remote"}
WRITE: Attributes = {"db.operation.name": "SET", "apsperf.cache.store": "remote"}
CACHED_METHODS = frozenset({"GET", "HEAD"})


class Gate:
    """What a shell decides by, before it lets the cache answer."""

    def __init__(self, suite: Suite, face: Face) -> None:
        settings = suite.settings.cache
        self.suite = suite
        self.cache = suite.responses
        self.channel = suite.channel
        self.hooks = suite.hooks
        self.face = face
        self.forms = suite.responses.maker.forms
        self.ours = stripped_names(settings)
        self.routes = suite.routes
        self.ruled = bool(suite.routes)
        self.query_form = suite.responses.query_form
        self._hosts = frozenset(settings.hosts)
        self.narrows = bool(self._hosts or self.query_form)
        self.trusted = frozenset(name.lower().encode() for name in settings.trusted_headers)
        self.say = settings.status_header
        self.says_key = settings.status_header and settings.status_key
        self.enabled = settings.enabled
        self.children = suite.children
        self._far = is_shared(face)
        self._ignored = frozenset(name.encode("latin-1") for name in settings.ignore_cookies)

    def admit(self, x: Any, seen: Any = None) -> bool:
        """Give the request its flags and its key; False sends it round the cache."""
        raise NotImplementedError

    def narrow(self, x: Exchange) -> bool:
        """Bring the key into the settings' form; False for a host that is not cached."""
        assert x.key is not None
        if self._hosts and x.key[1] not in self._hosts:
            x.detail = "host"
            x.key = None
            return False
        if self.query_form and x.query:
            x.key = self.key_of(x, self.query_form(x.query))
        return True

    def key_of(self, x: Any, query: bytes) -> Key:
        """The request's key with another query."""
        raise NotImplementedError

    def weigh(self, x: Exchange, flags: int) -> bool:
        """Whether the cache may answer a request that is not the plainest one."""
        x.flags = flags
        if not self.enabled:
            x.result = "off"
            return False
        if x.method not in CACHED_METHODS:
            x.detail = "method"
            x.voids = x.method not in SAFE_METHODS
            return False
        if flags & COOKIE and self._ignored and only_ignored(x.fields(b"cookie"), self._ignored):
            flags &= ~COOKIE
        x.flags = flags
        if flags & DETOUR:
            x.detail = detour(flags)
            return False
        return True

    def look(self, x: Any, seen: Any = None) -> Entry | None:
        """An entry that is here, or None; where `x` then is a miss without a flight, `wait`.

        `seen` is what `admit` would find by itself, where it was found before.
        """
        try:
            channel = self.channel
            if channel is not None and x.started >= channel.due:
                channel.look(x.started)  # for what other processes have purged
            admitted = self.admit(x, seen)
            if self.hooks.starts:
                self.hooks.start(x)
            if admitted:
                return self.seek(x)
        except Exception as fault:
            self._fault(x, fault)
        return None

    def seek(self, x: Any) -> Entry | None:
        """As `look`, of a request that the cache may answer."""
        try:
            entry = self.cache.glance(x)
            if entry is None:
                x.result = "miss"
                self.cache.depart(x)
            return entry
        except Exception as fault:
            self._fault(x, fault)
        return None

    def variant(self, x: Any, fork: Fork) -> Entry | None:
        """The fresh variant at hand; None says nothing, and what goes wrong does so again later."""
        try:
            return self.cache.variant(x, fork)
        except Exception:
            return None

    def _fault(self, x: Exchange, fault: Exception) -> None:
        self.hooks.faults.note("the cache's look-up", fault)
        x.result = "bypass"

    async def wait(self, x: Exchange) -> Entry | None:
        """As `Cache.arrive`; a fault is noted, and the app answers."""
        started = monotonic() if self._far and x.span is not None else 0.0
        try:
            entry = await self.cache.arrive(x, self.face)
            if started:
                self.children.note(x.span, "cache read", "client", READ, started)
            return entry
        except Exception as fault:
            self.hooks.faults.note("the cache's look-up", fault)
        except BaseException as gone:
            self.hooks.end(x, gone)
            raise
        return None

    def told(self, x: Exchange, headers: Sequence[Sequence[bytes]]) -> list[Header]:
        """The app's head with what we say, and without what was said to us alone."""
        form = self.forms.form(headers)
        added = self.hear(x, headers, form)
        out: list[Any] = self.bare(headers) if form is None else list(headers)
        out += added
        return out

    def begin_again(self, x: Exchange) -> None:
        """The app gives a second head: which one goes out is for the server to say.

        So the response is not kept, and nothing takes its place.
        """
        self.cache.drop(x, Outcome.UNCACHEABLE)
        x.stale = None

    def hear(
        self,
        x: Exchange,
        headers: Sequence[Sequence[bytes]],
        form: Form | None,
        values: list[bytes] | None = None,
    ) -> tuple[Header, ...]:
        """Begin to store what the app answers; the fields that we add to its head.

        Where nothing is `ruled` by path, a form and its `values` do for the headers.
        """
        if self.ruled and x.plan is not None and x.plan.rule is None and x.key is not None:
            x.plan.rule = self.routes.rule(x.key, headers)
        answer = self.cache.begin(x, headers, form, values)
        added = answer.added if answer is not None else ()
        if not self.say:
            return added
        if answer is not None and x.result == "miss" and x.stale is None and not x.detail:
            if not added and not self.says_key:
                return JUST_STORED
            said = STORED
        else:
            said = app_status(x, stored=answer is not None)
        return (*added, with_key(said, x.key) if self.says_key and x.key is not None else said)

    def heed(self, x: Exchange, headers: Iterable[Sequence[bytes]]) -> Later:
        """What the success of an unsafe method makes void, and what a HEAD tells of an entry."""
        if x.method == "GET" or x.key is None or x.flight is not None:
            return None
        if x.voids:
            return invalidate(self.cache, x, headers, self.face)
        return heed_head(self.cache, x, headers, self.face)

    def stand_in(self, x: Exchange, error: BaseException) -> Entry | None:
        """The stale entry in place of an exception of the app, which is noted; None: there is none.

        Only where nothing is out yet.
        """
        if not isinstance(error, Exception):
            return None
        entry = fallback(self.cache, x, type(error).__qualname__)
        if entry is not None:
            self.hooks.faults.note("the app, for which a stale response stood in", error)
            x.status, x.error = 0, type(error).__qualname__
        return entry

    def land(self, x: Exchange, entry: Entry) -> Later:
        """End the flight of an entry that answers in place of the app."""
        return land(self.cache, x, entry, self.face)

    async def finish(self, x: Exchange, later: Awaitable[None]) -> None:
        """Do what the store is asked for; a fault is noted."""
        started = monotonic() if self._far and x.span is not None else 0.0
        try:
            await later
            if started:
                self.children.note(x.span, "cache write", "client", WRITE, started)
        except Exception as fault:
            self.note(x, "the cache's store", fault)

    def note(self, x: Exchange, place: str, fault: Exception) -> None:
        """A fault of ours: it is noted, and the response not stored."""
        self.hooks.faults.note(place, fault)
        self.cache.drop(x, Outcome.UNCACHEABLE)

    def bare(self, headers: Iterable[Sequence[bytes]]) -> list[Any]:
        """The app's head without what was said to us alone."""
        return [field for field in headers if field[0].lower() not in self.ours]

    async def let_go(self) -> None:
        """End the leases of what came to nothing, so that other processes need not wait."""
        try:
            if is_shared(self.face):
                with self.face.waits.shield():  # also where the client has left
                    await end_leases(self.cache, self.face)
        except Exception as fault:
            self.hooks.faults.note("the end of a lease", fault)

    async def void_again(self, x: Exchange) -> None:
        """An unsafe request is over: what was stored since its head may be from before it.

        Many apps commit after the response has begun.
        """
        if x.key is None or not 200 <= x.status < 400:
            return
        try:
            await self.cache.erase(x.key, self.face)
        except Exception as fault:
            self.hooks.faults.note("the cache's invalidation", fault)

    def take_over(self, x: Exchange, behind: Exchange, entry: Entry) -> bool:
        """Make `behind` the request that fetches anew what `x` was served stale.

        False where it would get another variant, as where that is chosen by a cookie.
        """
        flight, x.renewal = x.renewal, None
        behind.key, behind.flight = x.key, flight
        behind.stale = entry if entry.span is None else None  # the whole takes a part's place
        behind.result = "miss"
        behind.done = True  # it is nobody's request, and no observer's
        try:
            alike = self.cache.selection.alike(behind, x, entry.vary)
        except Exception as fault:  # a route's own selector
            self.hooks.faults.note("a background refresh", fault)
            alike = False
        if not alike:
            self.give_up(behind)
        return alike

    def give_up(self, behind: Exchange) -> None:
        """Nobody fetches it: the next request may try."""
        if behind.key is not None:
            self.cache.rests.end(behind.key, behind.stale.values if behind.stale else ())
        self.cache.drop(behind, Outcome.FAILED)

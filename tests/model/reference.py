"""A shared cache by RFC 9111, slow and obvious: the whole way of one request at a time.

Beside the RFCs it knows the house rules, each marked as such. It is what the package is compared
with, so it shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.model.dictionary import TARGETS
from tests.model.grammar import Directives
from tests.model.keeping import Keeper, identifies
from tests.model.lifetimes import (
    Arrival,
    Rules,
    arrival,
    explicit_lifetime_s,
    lifetime_s,
    ruled_lifetime_s,
)
from tests.model.messages import (
    Abilities,
    App,
    AppFailed,
    Departures,
    Fields,
    House,
    Reply,
    Request,
    Response,
)
from tests.model.parts import Part
from tests.model.reuse import (
    NO_WISHES,
    asks_about,
    goes_round,
    is_for,
    may_serve,
    may_serve_while_asking,
    may_stand_in,
    wishes_of,
)
from tests.model.serving import served, served_part
from tests.model.shelf import alike
from tests.model.storing import Stored, told

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT"}  # RFC 9110 §9.2.1
FAILURES = {500, 502, 503, 504}  # RFC 5861 §4
CONDITIONS = ("if-none-match", "if-modified-since")


@dataclass(frozen=True)
class Answer:
    """What the app answered, or None where it failed, and when."""

    response: Response | None
    asked_at: float
    received_at: float

    def timing(self) -> tuple[float, float]:
        """When it was asked for, and when it came."""
        return self.asked_at, self.received_at

    def failed(self) -> bool:
        """Whether a stale response may stand in for it (RFC 5861 §4)."""
        return self.response is None or self.response.status in FAILURES


class Cache:
    """The cache; `clock` gives the time in seconds since 1970."""

    def __init__(
        self, can: Abilities, house: House, departs: Departures, clock: Callable[[], float]
    ) -> None:
        self.rules = Rules(can, house, departs)
        self.clock = clock
        self.keeper = Keeper(self.rules)

    def handle(self, request: Request, app: App) -> Reply:
        """One request from its arrival to its reply."""
        if request.method not in {"GET", "HEAD"} or goes_round(request, self.rules):
            return self.pass_on(request, app)
        now, wishes = self.clock(), wishes_of(request, self.rules)
        found = self.keeper.find(request)
        held = found if found is not None and is_for(found, request, self.rules) else None
        if held is not None and may_serve(held, wishes, now):
            return served(held, request, now, self.rules)
        only_cached = wishes.permits("only-if-cached")
        if held is not None and may_serve_while_asking(held, wishes, now, self.rules):
            reply = served(held, request, now, self.rules)
            if not only_cached:
                self.refresh(held, request, app)
            return reply
        part = self.part(request, now) if found is None else None
        if part is not None:
            return self.from_part(part, request, wishes, app)
        if only_cached:  # RFC 9111 §5.2.1.7
            return Reply("gateway-timeout", 504)
        return self.fetch(request, held, wishes, app)

    # From a part

    def part(self, request: Request, now: float) -> Part | None:
        """The stored part that has all that the request asks for, if it may be given that."""
        if request.method != "GET":  # RFC 9110 §14.2
            return None
        part = self.keeper.parts.find(request)
        if part is None or not is_for(part.stored, request, self.rules):
            return None
        return part if part.covers(request, now) else None

    def from_part(self, part: Part, request: Request, wishes: Directives, app: App) -> Reply:
        """As from a whole response, but that a part is not asked about (house)."""
        now = self.clock()
        if may_serve(part.stored, wishes, now):
            return served_part(part, request, now, self.rules)
        only_cached = wishes.permits("only-if-cached")
        if may_serve_while_asking(part.stored, wishes, now, self.rules):
            if not only_cached:
                self.refresh(part.stored, request, app)
            return served_part(part, request, now, self.rules)
        if only_cached:
            return Reply("gateway-timeout", 504)
        return self.fetch(request, None, wishes, app)

    # With the app

    def ask(self, request: Request, app: App) -> Answer:
        """Have the app answer."""
        asked_at = self.clock()
        try:
            response = app(request)
        except AppFailed:
            return Answer(None, asked_at, self.clock())
        return Answer(response, asked_at, self.clock())

    def came(self, request: Request, response: Response, answer: Answer) -> Arrival:
        """The answer as it is read for storing."""
        return arrival(request, response, answer.asked_at, answer.received_at, self.rules)

    def pass_on(self, request: Request, app: App) -> Reply:
        """Round the cache; a write that succeeds makes what is stored void (RFC 9111 §4.4)."""
        answer = self.ask(request, app)
        response = answer.response
        if response is None:
            return Reply("failed")
        if request.method not in SAFE and 200 <= response.status < 400:
            self.keeper.invalidate(request, response)
            self.adopt(request, response, answer)
        return self.passed(response)

    def adopt(self, request: Request, response: Response, answer: Answer) -> None:
        """Store what a POST gave as what a GET would get, if it says so (RFC 9110 §9.3.3)."""
        if not self.rules.can.adopts_posts or request.method != "POST" or response.status != 200:
            return
        if goes_round(replace(request.without("content-length"), body=b""), self.rules):
            return
        plain = replace(response, rule_s=None, shared=False)  # a rule is for GET (house)
        came = self.came(replace(request, method="GET"), plain, answer)
        explicit = explicit_lifetime_s(came) is not None
        if explicit and self.keeper.is_located(request, response) and self.keeper.fresh(came):
            self.keeper.keep(came, NO_WISHES)

    def fetch(self, request: Request, held: Stored | None, wishes: Directives, app: App) -> Reply:
        """The app's answer, or what is stored where the app says or fails."""
        is_get = request.method == "GET"
        asks = held is not None and is_get and asks_about(held, self.clock(), self.rules)
        answer = self.ask(conditional(request, held) if held and asks else request, app)
        now = answer.received_at
        if held and answer.failed() and may_stand_in(held, now, self.rules):
            return served(held, request, now, self.rules)
        if answer.response is None:
            return Reply("failed")
        if held and not is_get:
            self.freshen_by_head(held, request, answer, wishes)
        if held and asks and answer.response.status == 304:
            return self.validated(held, request, answer, wishes, app)
        return self.take_in(request, answer, wishes)

    def validated(
        self, held: Stored, request: Request, answer: Answer, wishes: Directives, app: App
    ) -> Reply:
        """The app says that what is stored is still good (RFC 9111 §4.3.3, §4.3.4)."""
        assert answer.response is not None
        if not self.accepts(answer.response, held):
            self.keeper.shelf.drop(held)
            return self.fetch(request, None, wishes, app)
        renewed = self.keeper.renew(held, request, answer.response, answer.timing(), wishes)
        return served(renewed, request, answer.received_at, self.rules)

    def accepts(self, response: Response, held: Stored) -> bool:
        """Whether the 304 is about what is stored (RFC 9111 §4.3.4)."""
        return self.rules.departs.trusts_any_304 or identifies(response, held)

    def take_in(self, request: Request, answer: Answer, wishes: Directives) -> Reply:
        """Pass the app's response on, and store it if it may be."""
        assert answer.response is not None
        ranged = request.has("range") and not self.rules.can.keeps_parts
        if request.method == "HEAD" or ranged:
            return self.passed(answer.response)
        came = self.came(request, answer.response, answer)
        more = self.rule_told(came)
        if not self.keeper.keep(came, wishes, more):
            return self.passed(answer.response)
        reply = self.passed(answer.response)
        return replace(reply, fields=(*reply.fields, *more), stored=True)

    def rule_told(self, came: Arrival) -> Fields:
        """The Cache-Control that a route's rule gives a response without a word of its own."""
        said = any(map(came.response.lines, ("cache-control", "expires", *TARGETS)))
        if said or not self.rules.can.writes_rules or ruled_lifetime_s(came) <= 0:
            return ()
        return (("Cache-Control", f"max-age={int(lifetime_s(came))}"),)

    def refresh(self, held: Stored, request: Request, app: App) -> None:
        """Ask the app for what every client may have: nothing of this one's goes along."""
        names = {"host", *held.vary} - {"cookie", "authorization", "range", *CONDITIONS}
        fields = tuple(field for field in request.fields if field[0].lower() in names)
        bare = Request("GET", request.target, fields, scheme=request.scheme)
        if not alike(bare, request, held.vary):
            return  # it would get another variant (house)
        if not self.keeper.rests.may_begin(held, self.clock()):
            return
        is_part = held.response.status == 206  # it is not asked about: the whole takes its place
        asks = not is_part and asks_about(held, self.clock(), self.rules)
        answer = self.ask(conditional(bare, held) if asks else bare, app)
        if answer.response is None:
            return
        stays = not is_part and may_stand_in(held, answer.received_at, self.rules)
        if answer.failed() and stays:
            return
        if asks and answer.response.status == 304:
            if self.accepts(answer.response, held):
                self.keeper.renew(held, bare, answer.response, answer.timing(), NO_WISHES)
            return
        self.take_in(bare, answer, NO_WISHES)

    def freshen_by_head(
        self, held: Stored, request: Request, answer: Answer, wishes: Directives
    ) -> None:
        """RFC 9111 §4.3.5: the same validators renew, others make it stale."""
        response = answer.response
        if not self.rules.can.freshens_by_head or response is None or response.status != 200:
            return
        if self.keeper.is_same(response, held):
            as_get = replace(request, method="GET")
            self.keeper.renew(held, as_get, response, answer.timing(), wishes)
        else:
            self.keeper.outdate(held)

    def passed(self, response: Response) -> Reply:
        """The app's response as it is."""
        fields = told(response.fields, self.rules.can)
        return Reply("app", response.status, fields, response.body)


def conditional(request: Request, held: Stored) -> Request:
    """The request with our validators in place of the client's (RFC 9111 §4.3.1)."""
    etag, modified = held.response.first("etag"), held.response.first("last-modified")
    own = [("if-none-match", etag), ("if-modified-since", modified)]
    return request.without(*CONDITIONS).with_fields(*[(n, v) for n, v in own if v is not None])

"""A shared cache by RFC 9111, slow and obvious: the whole way of one request at a time.

Beside the RFCs it knows the house rules, each marked as such. It is what the package is compared
with, so it shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.model.dictionary import TARGETS
from tests.model.grammar import Directives, parse_cache_control
from tests.model.keeping import Keeper, identifies
from tests.model.messages import (
    Abilities,
    App,
    AppFailed,
    Departures,
    House,
    Reply,
    Request,
    Response,
)
from tests.model.parts import Part
from tests.model.serving import served, served_part
from tests.model.shelf import alike
from tests.model.storing import (
    Arrival,
    Rules,
    Stored,
    arrival,
    explicit_lifetime_s,
    has_cookies,
    lifetime_s,
    ruled_lifetime_s,
    told,
)

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT"}  # RFC 9110 §9.2.1
FAILURES = {500, 502, 503, 504}  # RFC 5861 §4
CONDITIONS = ("if-none-match", "if-modified-since")
NO_WISHES = Directives()


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
        if request.method not in {"GET", "HEAD"} or self.goes_round(request):
            return self.pass_on(request, app)
        now, wishes = self.clock(), self.wishes(request)
        found = self.keeper.find(request)
        held = found if found is not None and self.is_for(found, request) else None
        if held is not None and self.may_serve(held, wishes, now):
            return served(held, request, now, self.rules)
        only_cached = wishes.permits("only-if-cached")
        if held is not None and self.may_serve_while_asking(held, wishes, now):
            reply = served(held, request, now, self.rules)
            if not only_cached and self.refreshes(request):
                self.refresh(held, request, app)
            return reply
        part = self.part(request, now) if found is None else None
        if part is not None:
            return self.from_part(part, request, wishes, app)
        if only_cached:  # RFC 9111 §5.2.1.7
            return Reply("gateway-timeout", 504)
        return self.fetch(request, held, wishes, app)

    # Before the app

    def goes_round(self, request: Request) -> bool:
        """Whether the house lets neither store nor serve anything for such a request."""
        names = (*self.rules.house.credentials, *self.rules.house.forwarding)
        ranged = not self.rules.can.ranges and request.has("range", "if-range")
        # RFC 9111 §4.3.2: If-Match and If-Unmodified-Since are for the origin.
        conditions = request.has("if-match", "if-unmodified-since")
        return has_body(request) or ranged or conditions or request.has(*names)

    def is_for(self, found: Stored, request: Request) -> bool:
        """Whether the request may be given the stored response, fresh or not."""
        if has_cookies(request, self.rules.house) and not found.for_cookies:
            return False
        return found.for_authorized or not request.has("authorization")

    def wishes(self, request: Request) -> Directives:
        """The request's directives, where they are honoured (RFC 9111 §5.2.1, §5.4)."""
        honours = self.rules.house.request_directives == "honour"
        if not (self.rules.can.honours_requests and honours):
            return NO_WISHES
        lines = request.lines("cache-control")
        return parse_cache_control(lines or request.lines("pragma"))

    def may_serve(self, held: Stored, wishes: Directives, now: float) -> bool:
        """Whether the response may be used without asking the app (RFC 9111 §4)."""
        if held.directives.restricts("no-cache") or wishes.restricts("no-cache"):  # §5.2.2.4
            return False
        remaining = held.lifetime_s - held.age_s(now)
        fresh_for = wishes.seconds("min-fresh")  # §5.2.1.3
        if too_old(held, wishes, now) or (fresh_for is not None and remaining < fresh_for):
            return False
        if remaining > 0:
            return True
        most = wishes.limit("max-stale")  # §5.2.1.2
        return most is not None and -remaining <= most and not held.never_stale()

    def may_serve_while_asking(self, held: Stored, wishes: Directives, now: float) -> bool:
        """stale-while-revalidate (RFC 5861 §3)."""
        window = held.directives.seconds("stale-while-revalidate")
        if not self.rules.can.swr or window is None or held.never_stale():
            return False
        if any(map(wishes.restricts, ("no-cache", "max-age", "min-fresh"))):
            return False
        return 0 <= held.age_s(now) - held.lifetime_s < window

    def refreshes(self, request: Request) -> bool:
        """Whether the request has what it was served stale fetched anew (RFC 5861 §3)."""
        return request.method == "GET" or not self.rules.departs.head_never_refreshes

    # From a part

    def part(self, request: Request, now: float) -> Part | None:
        """The stored part that has all that the request asks for, if it may be given that."""
        if request.method != "GET" and not self.rules.departs.head_gets_parts:
            return None
        part = self.keeper.parts.find(request)
        if part is None or not part.covers(request, now) or not self.is_for(part.stored, request):
            return None
        return part

    def from_part(self, part: Part, request: Request, wishes: Directives, app: App) -> Reply:
        """As from a whole response, but that a part is not asked about (house)."""
        now = self.clock()
        if self.may_serve(part.stored, wishes, now):
            return served_part(part, request, now, self.rules)
        only_cached = wishes.permits("only-if-cached")
        if self.may_serve_while_asking(part.stored, wishes, now):
            if not only_cached and self.refreshes(request):
                self.refresh(part.stored, request, app)
            return served_part(part, request, now, self.rules)
        return (
            Reply("gateway-timeout", 504) if only_cached else self.fetch(request, None, wishes, app)
        )

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
        if self.goes_round(replace(request.without("content-length"), body=b"")):
            return
        plain = replace(response, rule_s=None, shared=False)  # a rule is for GET (house)
        came = self.came(replace(request, method="GET"), plain, answer)
        guess = self.rules.departs.adopts_by_guess
        explicit = guess or explicit_lifetime_s(came) is not None
        if explicit and self.keeper.is_located(request, response) and self.keeper.fresh(came):
            self.keeper.keep(came, NO_WISHES)

    def fetch(self, request: Request, held: Stored | None, wishes: Directives, app: App) -> Reply:
        """The app's answer, or what is stored where the app says or fails."""
        is_get = request.method == "GET"
        asks = held is not None and is_get and self.asks_about(held)
        answer = self.ask(conditional(request, held) if held and asks else request, app)
        if held and is_get and answer.failed() and self.may_stand_in(held, answer.received_at):
            return served(held, request, answer.received_at, self.rules)
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
        told_too = came
        if self.rules.can.writes_rules and self.is_ruled(came):
            control = ("Cache-Control", f"max-age={int(lifetime_s(came))}")
            fields = (*came.response.fields, control)
            told_too = self.came(request, replace(came.response, fields=fields), answer)
        kept = self.keeper.keep(told_too, wishes)
        return replace(self.passed((told_too if kept else came).response), stored=kept)

    def is_ruled(self, came: Arrival) -> bool:
        """Whether the route's rule alone gives the lifetime."""
        said = any(map(came.response.lines, ("cache-control", "expires", *TARGETS)))
        return ruled_lifetime_s(came) > 0 and not said

    def asks_about(self, held: Stored) -> bool:
        """Whether the app is asked if it is still good (RFC 9111 §4.3.1)."""
        return self.rules.can.revalidates and held.asked_about(
            self.clock(), self.rules.house.keep_stale_s
        )

    def may_stand_in(self, held: Stored, now: float) -> bool:
        """stale-if-error, or the setting for responses without it (RFC 5861 §4).

        What is fresh may too, where only the client wanted the app asked (RFC 9111 §4.3.3).
        """
        if not self.rules.can.sie or held.never_stale():
            return False
        if held.fresh(now):
            return True
        house = self.rules.house
        window: float | None = held.directives.seconds("stale-if-error")
        if window is None:
            window = house.keep_stale_s if house.stale_on_error else 0
        return held.age_s(now) - held.lifetime_s < window

    def refresh(self, held: Stored, request: Request, app: App) -> None:
        """Ask the app for what every client may have: nothing of this one's goes along."""
        names = {"host", *held.vary} - {"cookie", "authorization", "range", *CONDITIONS}
        fields = tuple(field for field in request.fields if field[0].lower() in names)
        bare = Request("GET", request.target, fields, scheme=request.scheme)
        if not alike(bare, request, held.vary):
            return  # it would get another variant (house)
        asks = self.asks_about(held)
        answer = self.ask(conditional(bare, held) if asks else bare, app)
        if answer.response is None:
            return
        if answer.failed() and self.may_stand_in(held, answer.received_at):
            return
        if asks and answer.response.status == 304:
            if held.response.status == 206:
                if self.rules.departs.erases_renewed_part:
                    self.keeper.erase(request)
            elif self.accepts(answer.response, held):
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
        forgets = self.rules.departs.head_forgets
        is_same = self.keeper.is_same(response, held)
        if forgets and (not is_same or wishes.restricts("no-store")):
            self.keeper.erase(request)
        elif is_same:
            as_get = replace(request, method="GET")
            self.keeper.renew(held, as_get, response, answer.timing(), wishes)
        else:
            self.keeper.outdate(held)

    def passed(self, response: Response) -> Reply:
        """The app's response as it is."""
        fields = told(response.fields, self.rules.can)
        return Reply("app", response.status, fields, response.body)


def has_body(request: Request) -> bool:
    """Whether the request says that it has content (RFC 9110 §6.4, RFC 9112 §6)."""
    lengths = request.lines("content-length")
    return request.has("transfer-encoding") or any(length != "0" for length in lengths)


def too_old(held: Stored, wishes: Directives, now: float) -> bool:
    """Whether the client's max-age asks for younger; max-age=0 is a reload, which an immutable
    response need not heed while it is fresh (RFC 8246 §2)."""
    most = wishes.seconds("max-age")
    if most == 0 and held.directives.permits("immutable"):
        return not held.fresh(now)
    return most is not None and held.age_s(now) > most


def conditional(request: Request, held: Stored) -> Request:
    """The request with our validators in place of the client's (RFC 9111 §4.3.1)."""
    etag, modified = held.response.first("etag"), held.response.first("last-modified")
    own = [("if-none-match", etag), ("if-modified-since", modified)]
    return request.without(*CONDITIONS).with_fields(*[(n, v) for n, v in own if v is not None])

"""A shared cache by RFC 9111, slow and obvious: the whole way of one request at a time.

Beside the RFCs it knows the house rules, each marked as such. It is what the package is compared
with, so it shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.model.grammar import Directives, names_tag, parse_cache_control
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
from tests.model.serving import served
from tests.model.shelf import Shelf, UnionShelf, key_of
from tests.model.storing import (
    Arrival,
    Rules,
    Stored,
    arrival,
    has_cookies,
    refreshed,
    storable,
    stored,
    whole,
)

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT"}  # RFC 9110 §9.2.1
FAILURES = {500, 502, 503, 504}  # RFC 5861 §4
CONDITIONS = ("if-none-match", "if-modified-since")


@dataclass(frozen=True)
class Answer:
    """What the app answered, or None where it failed, and when."""

    response: Response | None
    asked_at: float
    received_at: float

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
        shelf = UnionShelf if departs.selects_by_union else Shelf
        self.shelf: Shelf = shelf(house.max_variants)

    def handle(self, request: Request, app: App) -> Reply:
        """One request from its arrival to its reply."""
        if request.method not in {"GET", "HEAD"} or self.goes_round(request):
            return self.pass_on(request, app)
        now = self.clock()
        held = self.usable(request)
        wishes = self.wishes(request)
        if held is not None and self.may_serve(held, wishes, now):
            return served(held, request, now, self.rules)
        if held is not None and self.may_serve_while_asking(held, wishes, now):
            reply = served(held, request, now, self.rules)
            self.refresh(held, request, app)
            return reply
        if wishes.permits("only-if-cached"):  # RFC 9111 §5.2.1.7
            return Reply("gateway-timeout", 504)
        return self.fetch(request, held, wishes, app)

    # Before the app

    def goes_round(self, request: Request) -> bool:
        """Whether the house lets neither store nor serve anything for such a request."""
        names = (*self.rules.house.credentials, *self.rules.house.forwarding)
        ranged = not self.rules.can.ranges and request.has("range", "if-range")
        length = request.lines("content-length")
        has_body = request.has("transfer-encoding") or any(value != "0" for value in length)
        # RFC 9111 §4.3.2: If-Match and If-Unmodified-Since are for the origin.
        conditions = request.has("if-match", "if-unmodified-since")
        return has_body or ranged or conditions or request.has(*names)

    def usable(self, request: Request) -> Stored | None:
        """The stored response that the request selects and may be given, fresh or not."""
        found = self.shelf.find(request)
        if found is None:
            return None
        if has_cookies(request, self.rules.house) and not found.for_cookies:
            return None
        if request.has("authorization") and not found.for_authorized:
            return None
        return found

    def wishes(self, request: Request) -> Directives:
        """The request's directives, where they are honoured (RFC 9111 §5.2.1, §5.4)."""
        honours = self.rules.house.request_directives == "honour"
        if not (self.rules.can.honours_requests and honours):
            return Directives()
        lines = request.lines("cache-control")
        return parse_cache_control(lines or request.lines("pragma"))

    def may_serve(self, held: Stored, wishes: Directives, now: float) -> bool:
        """Whether the response may be used without asking the app (RFC 9111 §4)."""
        if held.directives.restricts("no-cache") or wishes.restricts("no-cache"):  # §5.2.2.4
            return False
        oldest = wishes.seconds("max-age")  # §5.2.1.1
        if oldest is not None and held.age_s(now) > oldest:
            return False
        remaining = held.lifetime_s - held.age_s(now)
        if remaining > 0:
            return remaining >= (wishes.seconds("min-fresh") or 0)  # §5.2.1.3
        if wishes.restricts("min-fresh") or held.never_stale():
            return False
        too_old = wishes.limit("max-stale")  # §5.2.1.2
        return too_old is not None and -remaining <= too_old

    def may_serve_while_asking(self, held: Stored, wishes: Directives, now: float) -> bool:
        """stale-while-revalidate (RFC 5861 §3)."""
        window = held.directives.seconds("stale-while-revalidate")
        if not self.rules.can.swr or window is None or held.never_stale():
            return False
        if any(map(wishes.restricts, ("no-cache", "max-age", "min-fresh"))):
            return False
        return 0 <= held.age_s(now) - held.lifetime_s < window

    # With the app

    def ask(self, request: Request, app: App) -> Answer:
        """Have the app answer."""
        asked_at = self.clock()
        try:
            response = app(request)
        except AppFailed:
            return Answer(None, asked_at, self.clock())
        return Answer(response, asked_at, self.clock())

    def pass_on(self, request: Request, app: App) -> Reply:
        """Round the cache; a write that succeeds makes what is stored void (RFC 9111 §4.4)."""
        answer = self.ask(request, app)
        if answer.response is None:
            return Reply("failed")
        if request.method not in SAFE and 200 <= answer.response.status < 400:
            self.invalidate(request, answer.response)
        return passed(answer.response)

    def fetch(self, request: Request, held: Stored | None, wishes: Directives, app: App) -> Reply:
        """The app's answer, or what is stored where the app says or fails."""
        alone = request.method == "HEAD" or request.has("range")
        validates = held is not None and not alone and self.validates(held)
        sent = conditional(request, held) if held is not None and validates else request
        answer = self.ask(sent, app)
        if held is not None and answer.failed() and self.may_stand_in(held, answer.received_at):
            return served(held, request, answer.received_at, self.rules)
        if answer.response is None:
            return Reply("failed")
        if request.method == "HEAD" and held is not None:
            self.freshen_by_head(held, request, answer)
        if held is not None and validates and answer.response.status == 304:
            if not identifies(answer.response, held):
                self.shelf.drop(held)
                return self.fetch(request, None, wishes, app)
            renewed = self.renew(held, request, answer)
            return served(renewed, request, answer.received_at, self.rules)
        came = arrival(request, answer.response, answer.asked_at, answer.received_at, self.rules)
        return replace(passed(answer.response), stored=not alone and self.keep(came, wishes))

    def validates(self, held: Stored) -> bool:
        """Whether a stale response is asked about (RFC 9111 §4.3.1)."""
        return self.rules.can.revalidates and held.validators() and held.response.status == 200

    def may_stand_in(self, held: Stored, now: float) -> bool:
        """stale-if-error, or the setting for responses without it (RFC 5861 §4)."""
        if not self.rules.can.sie or held.never_stale():
            return False
        window = held.directives.seconds("stale-if-error")
        if window is None:
            return self.rules.house.stale_on_error
        return held.age_s(now) - held.lifetime_s < window

    def refresh(self, held: Stored, request: Request, app: App) -> None:
        """Ask the app for what every client may have: nothing of this one's goes along."""
        names = {"host", *held.vary} - {"cookie", "authorization", "range", *CONDITIONS}
        fields = tuple(field for field in request.fields if field[0].lower() in names)
        bare = Request("GET", request.target, fields, scheme=request.scheme)
        sent = conditional(bare, held) if self.validates(held) else bare
        answer = self.ask(sent, app)
        if answer.response is None or answer.failed():
            return
        if answer.response.status == 304 and sent != bare:
            if identifies(answer.response, held):
                self.renew(held, bare, answer)
            return
        came = arrival(bare, answer.response, answer.asked_at, answer.received_at, self.rules)
        self.keep(came, Directives())

    # After the app

    def keep(self, came: Arrival, wishes: Directives) -> bool:
        """Whether the head says that the response is stored; a body that breaks off is not."""
        if not storable(came) or wishes.restricts("no-store"):  # RFC 9111 §5.2.1.5
            return False
        if whole(came):
            self.shelf.put(stored(came))
        return True

    def renew(self, held: Stored, request: Request, answer: Answer) -> Stored:
        """What is stored, with the fields and the age that the 304 gives it (§4.3.4)."""
        assert answer.response is not None
        news = refreshed(held, answer.response)
        # Age and Date are this answer's: what was stored of them is over.
        timed = replace(news, fields=(*undated(news, answer.response), *ages(answer.response)))
        came = arrival(request, timed, answer.asked_at, answer.received_at, self.rules)
        renewed = stored(came)
        renewed = replace(renewed, response=news)
        self.shelf.drop(held)
        if storable(came):
            self.shelf.put(renewed)
        return renewed

    def freshen_by_head(self, held: Stored, request: Request, answer: Answer) -> None:
        """RFC 9111 §4.3.5: the same validators renew, others make it stale."""
        response = answer.response
        if not self.rules.can.freshens_by_head or response is None or response.status != 200:
            return
        lengths = response.lines("content-length")
        same = lengths in ([], [str(len(held.response.body))]) and all(
            response.lines(name) in ([], held.response.lines(name))
            for name in ("etag", "last-modified")
        )
        if same:
            self.renew(held, replace(request, method="GET"), answer)
        else:
            self.shelf.drop(held)

    def invalidate(self, request: Request, response: Response) -> None:
        """The target URI, and others of the same origin that the response names (§4.4)."""
        self.shelf.erase(key_of(request))
        if not self.rules.can.invalidates_locations:
            return
        scheme, host, _ = key_of(request)
        for name in ("location", "content-location"):
            for value in response.lines(name):
                origin = f"{scheme}://{host}"
                target = value.removeprefix(origin) if value.startswith(origin + "/") else value
                if target.startswith("/") and not target.startswith("//"):
                    self.shelf.erase((scheme, host, target.partition("#")[0]))


def passed(response: Response) -> Reply:
    """The app's response as it is."""
    return Reply("app", response.status, response.fields, response.body)


def conditional(request: Request, held: Stored) -> Request:
    """The request with our validators in place of the client's (RFC 9111 §4.3.1)."""
    etag, modified = held.response.first("etag"), held.response.first("last-modified")
    own = [("if-none-match", etag), ("if-modified-since", modified)]
    return request.without(*CONDITIONS).with_fields(*[(n, v) for n, v in own if v is not None])


def identifies(response: Response, held: Stored) -> bool:
    """Whether the 304 is about what is stored (RFC 9111 §4.3.4).

    One without validators answers the only ones that we sent: by the letter it would say nothing.
    """
    etag = response.first("etag")
    if etag is not None:
        return names_tag([etag], held.response.first("etag"))
    modified = response.first("last-modified")
    return modified is None or modified == held.response.first("last-modified")


def undated(news: Response, given: Response) -> list[tuple[str, str]]:
    """The fields to reckon with: a stored Date that the 304 does not repeat is too old."""
    dated = given.lines("date") != []
    return [field for field in news.fields if dated or field[0].lower() != "date"]


def ages(given: Response) -> list[tuple[str, str]]:
    """The Age lines of a response."""
    return [field for field in given.fields if field[0].lower() == "age"]

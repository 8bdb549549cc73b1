"""What becomes of what the app says: stored, renewed, made void (RFC 9111 §3, §4.3, §4.4)."""

from __future__ import annotations

from dataclasses import replace

from tests.model.grammar import Directives, names_tag
from tests.model.lifetimes import Arrival, Rules, arrival, initial_age_s, lifetime_s
from tests.model.messages import Fields, Request, Response
from tests.model.parts import Parts
from tests.model.rests import Rests
from tests.model.shelf import Key, Shelf, UnionShelf, key_of
from tests.model.storing import Stored, allowed, refreshed, storable, stored, whole

Timing = tuple[float, float]


class Keeper:
    """All that is stored."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        shelf = UnionShelf if rules.departs.selects_by_union else Shelf
        self.shelf: Shelf = shelf(rules.house.max_variants)
        self.parts = Parts()
        self.rests = Rests()

    def find(self, request: Request) -> Stored | None:
        """The whole response that the request selects."""
        return self.shelf.find(request)

    def fresh(self, came: Arrival) -> bool:
        """Whether a response is fresh as it comes."""
        return lifetime_s(came) > initial_age_s(came)

    def keep(self, came: Arrival, wishes: Directives, more: Fields = ()) -> bool:
        """Whether the head says that the response is stored; a body that breaks off is not.

        `more` are fields that it is given on the way.
        """
        if not storable(came) or wishes.restricts("no-store"):  # RFC 9111 §5.2.1.5
            return False
        if whole(came):
            fields = (*came.response.fields, *more)
            self.put(stored(replace(came, response=replace(came.response, fields=fields))))
        return True

    def put(self, new: Stored) -> None:
        """Keep a response, or a part with what it can be joined to."""
        self.rests.end(new)
        if new.response.status != 206:
            self.shelf.put(new)
        elif (complete := self.parts.put(new)) is not None:
            self.shelf.put(complete)

    def renew(
        self, held: Stored, request: Request, news: Response, timing: Timing, wishes: Directives
    ) -> Stored:
        """What is stored, with the newer fields and age; kept so, if it may be (§4.3.4)."""
        response = refreshed(held, news)
        # Age and Date are this answer's: what was stored of them is over.
        timed = replace(response, fields=(*undated(response, news), *ages(news)))
        came = arrival(request, timed, *timing, self.rules)
        renewed = replace(stored(came), response=response)
        if not allowed(came):
            return self.forbidden(held, renewed)
        if not wishes.restricts("no-store"):
            self.rests.end(renewed)
            self.shelf.drop(held)
            self.shelf.put(renewed)
        return renewed

    def forbidden(self, held: Stored, renewed: Stored) -> Stored:
        """The newer fields forbid storing: good for this request alone."""
        self.shelf.drop(held)
        return renewed

    def outdate(self, held: Stored) -> None:
        """Take what is stored as stale from now on."""
        self.shelf.drop(held)
        self.shelf.put(replace(held, lifetime_s=0))

    def erase(self, request: Request) -> None:
        """Keep nothing of the request's URL."""
        self._erase(key_of(request))

    def invalidate(self, request: Request, response: Response) -> None:
        """The target URI, and others of the same origin that the response names (§4.4)."""
        self.erase(request)
        if not self.rules.can.invalidates_locations:
            return
        for name in ("location", "content-location"):
            for value in response.lines(name):
                target = target_of(value, request)
                if target is not None:
                    self._erase((*key_of(request)[:2], target))

    def is_located(self, request: Request, response: Response) -> bool:
        """Whether Content-Location says that the content is that of the target (§9.3.3)."""
        located = [target_of(value, request) for value in response.lines("content-location")]
        return request.target in located

    def is_same(self, response: Response, held: Stored) -> bool:
        """Whether the head that a HEAD got is of the stored body (RFC 9111 §4.3.5)."""
        if response.lines("content-length") not in ([], [str(len(held.response.body))]):
            return False
        for name in ("etag", "last-modified"):
            have, got = held.response.first(name), response.first(name)
            if got not in {None, have}:
                return False
        return True

    def _erase(self, key: Key) -> None:
        self.shelf.erase(key)
        self.parts.erase(key)


def target_of(reference: str, request: Request) -> str | None:
    """The path and query that a reference points to, or None for another origin (RFC 3986 §5).

    Absolute and absolute-path references alone: programs have no others.
    """
    scheme, host, _ = key_of(request)
    target = reference
    if "://" in reference:
        named, _, rest = reference.partition("://")
        authority, _, path = rest.partition("/")
        fields = (("Host", authority),)
        if key_of(Request(fields=fields, scheme=named))[:2] != (scheme, host):
            return None
        target = "/" + path
    return target.partition("#")[0] if target.startswith("/") else None


def identifies(response: Response, held: Stored) -> bool:
    """Whether the 304 is about what is stored (RFC 9111 §4.3.4).

    One without validators answers the only ones that we sent: by the letter it would say nothing.
    """
    etag = response.first("etag")
    if etag is not None:
        return names_tag([etag], held.response.first("etag"))
    modified = response.first("last-modified")
    return modified is None or modified == held.response.first("last-modified")


def undated(news: Response, given: Response) -> Fields:
    """The fields to reckon with: a stored Date that the newer head does not repeat is too old."""
    dated = given.lines("date") != []
    return tuple(field for field in news.fields if dated or field[0].lower() != "date")


def ages(given: Response) -> Fields:
    """The Age lines of a response."""
    return tuple(field for field in given.fields if field[0].lower() == "age")

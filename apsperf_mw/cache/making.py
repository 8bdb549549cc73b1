"""Entries made of the app's responses, on terms that are worked out once for all that say alike."""

from __future__ import annotations

import math
import random
from operator import itemgetter
from time import time
from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.forms import Forms
from apsperf_mw.cache.rules.answer import (
    Answer,
    Head,
    initial_age_s,
    lifetime_s,
    read,
    said_lifetime_s,
    stored_headers,
)
from apsperf_mw.cache.rules.renewal import merged
from apsperf_mw.cache.rules.terms import Asked, Terms, terms_of
from apsperf_mw.cache.screen import GUARDED, RANGE
from apsperf_mw.http.fields import (
    clean_headers,
    parse_content_length,
    parse_vary,
)
from apsperf_mw.http.ranges import parse_content_range
from apsperf_mw.http.targeted import OURS_ALONE, TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from apsperf_mw.cache.entry import Values
    from apsperf_mw.cache.policy import Plan
    from apsperf_mw.cache.rules.answer import Form, Noted
    from apsperf_mw.exchange import Exchange, Header
    from apsperf_mw.settings import CacheSettings, Settings

VALUE: Any = itemgetter(1)
BYTES = frozenset({bytes})
# Terms are forgotten all at once past this many; an app has a few dozen.
MOST_TERMS = 1024
LONGEST_POLICY = 4096
OURS = frozenset({OURS_ALONE})
# What a request of our own never carries.
PERSONAL = frozenset({b"authorization", b"cookie"})
TAG_FIELDS = frozenset({b"cache-tag", b"surrogate-key"})
# Fields that speak of lifetimes: where one is there, a rule says nothing.
SAID = frozenset({b"cache-control", b"expires", *TARGETS})
# What of a request the terms depend on.
SETTLING = GUARDED | RANGE


def stripped_names(settings: CacheSettings) -> frozenset[bytes]:
    """What an app says to us alone, and is neither passed on nor stored."""
    return OURS if settings.keep_tag_headers else OURS | TAG_FIELDS


def named_tags(noted: Noted) -> Iterator[str]:
    """The tags that the response names: Cache-Tag by commas, Surrogate-Key by spaces."""
    for line in noted.get(b"cache-tag", ()):
        yield from (tag.strip().decode("latin-1") for tag in line.split(b",") if tag.strip())
    for line in noted.get(b"surrogate-key", ()):
        yield from (tag.decode("latin-1") for tag in line.split())


class Maker:
    """Reads responses on the terms that the rules set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # What is for us alone is kept, for a 304 may not say it again; it is not served.
        self.stripped = stripped_names(settings.cache) - OURS
        self._max_bytes = settings.cache.max_entry_bytes
        self._terms: dict[tuple[object, ...], Terms] = {}
        self.forms = Forms(settings)
        self._ready = self.forms.ready

    def answer(
        self,
        x: Exchange,
        headers: Sequence[Sequence[bytes]],
        plan: Plan,
        form: Form | None = None,
        values: list[bytes] | None = None,
        method: str = "",
        wall_now: float | None = None,
    ) -> Answer | str:
        """The response as it may be stored, or the reason why not; `method` stands in for its.

        Of a form the `values` are enough, which it takes over.
        """
        if form is None:
            return self._read(x, headers, plan, method, wall_now)
        if values is None:
            values = list(map(VALUE, headers))
            if not BYTES.issuperset(map(type, values)):
                values = list(map(bytes, values))
        rule, said = plan.rule, form.policy(values)
        out = plan.kept_out if plan.guarded else plan.private  # most are not: no call for them
        key = (form, x.flags & SETTLING, method or x.method, x.status, rule, out, said)
        ready = self._ready.get(key)
        if ready is not None:
            return ready.terms.refusal or self.forms.answer(ready, x.status, form, values)
        answer = self._read(x, headers or zip(form.names, values), plan, method, wall_now)  # noqa: B905
        if rule is None or not callable(rule.ttl):
            self.forms.learn(key, answer)
        return answer

    def _read(
        self,
        x: Exchange,
        headers: Iterable[Sequence[bytes]],
        plan: Plan,
        method: str,
        wall_now: float | None,
    ) -> Answer | str:
        head = read(headers)
        terms = self._terms_of(x, head, plan, method=method)
        if terms.refusal:
            return terms.refusal
        if x.status == 206 and not _may_be_kept_as_part(x, head, terms):
            return "partial"
        return self._on(terms, x, head, time() if wall_now is None else wall_now)

    def renewed(self, x: Exchange, entry: Entry, said: Head, plan: Plan, wall_now: float) -> Answer:
        """The entry's own head, brought up to date; its terms may refuse now."""
        head = merged(entry, said)
        terms = self._terms_of(x, head, plan, entry.status, "GET")
        if b"date" not in said.noted:
            head.noted.pop(b"date", None)  # it tells of the first response, not of this one
        head.noted.pop(b"age", None)
        if b"age" in said.noted:
            head.noted[b"age"] = said.noted[b"age"]
        ttl_s = self._lifetime_s(head, terms, entry.status, wall_now)
        age_s = initial_age_s(head.noted, wall_now, x.head_at - x.started)
        tags = (*entry.tags, *named_tags(said.noted))
        kept = stored_headers(head, terms, self.stripped)
        length = len(entry.body)
        return _answer(head, terms, entry.status, kept, length, ttl_s, age_s, distinct(tags))

    def _on(self, terms: Terms, x: Exchange, head: Head, wall_now: float) -> Answer | str:
        noted = head.noted
        length = None
        if b"content-length" in noted:
            length = parse_content_length(noted[b"content-length"])
        if length is not None and not 0 <= length <= self._max_bytes:
            return "length"
        if not clean_headers(head.kept):
            return "malformed"
        ttl_s = self._lifetime_s(head, terms, x.status, wall_now)
        age_s = initial_age_s(noted, wall_now, x.head_at - x.started) if noted else 0.0
        if ttl_s <= age_s and not _worth_keeping(head, terms, ttl_s, age_s, wall_now):
            return "no-cache" if terms.revalidates else "no-lifetime"
        tags = tuple(named_tags(noted)) if not TAG_FIELDS.isdisjoint(noted) else ()
        kept = stored_headers(head, terms, self.stripped)
        span = _span(head) if x.status == 206 else None
        answer = _answer(head, terms, x.status, kept, length, ttl_s, age_s, tags, span=span)
        answer.added = written(terms, head, ttl_s)
        return answer

    def _lifetime_s(self, head: Head, terms: Terms, status: int, wall_now: float) -> float:
        if terms.revalidates:
            return 0.0
        if terms.lifetime_s is not None and terms.most_s == math.inf:
            return terms.lifetime_s
        ttl_s = lifetime_s(head, terms, status, wall_now, self._settings.cache.heuristic_max_s)
        jitter = self._settings.ttl.jitter
        if jitter and said_lifetime_s(head, terms, wall_now) is None:
            ttl_s *= 1 - jitter * random.random()  # noqa: S311 - it only spreads expiry
        return ttl_s

    def _terms_of(
        self, x: Exchange, head: Head, plan: Plan, status: int = 0, method: str = ""
    ) -> Terms:
        rule = plan.rule
        status = status or x.status
        if rule is not None and callable(rule.ttl):
            rule = rule.settled(status, head.kept)
        key = (x.flags & SETTLING, method or x.method, status, rule, plan.kept_out, *head.policy)
        return self._terms.get(key) or self._learn(key, head)

    def _learn(self, key: tuple[object, ...], head: Head) -> Terms:
        terms = terms_of(Asked(*key[:5]), head.policy, self._settings)  # type: ignore[arg-type]
        if sum(len(value) for _, value in head.policy) <= LONGEST_POLICY:
            if len(self._terms) >= MOST_TERMS:
                self._terms = {}
            self._terms[key] = terms
        return terms


def _may_be_kept_as_part(x: Exchange, head: Head, terms: Terms) -> bool:
    """Whether a 206 can be used without doubt of what it is a part of (RFC 9111 §3.3)."""
    if not x.flags & RANGE or terms.vary or terms.revalidates:
        return False
    return _span(head) is not None


def _span(head: Head) -> tuple[int, int, int] | None:
    found = parse_content_range(head.noted.get(b"content-range", ()))
    if found is None:
        return None
    (first, last), size = found
    return first, last, size


def _worth_keeping(head: Head, terms: Terms, ttl_s: float, age_s: float, wall_now: float) -> bool:
    """Whether a response that is stale on arrival can be of use: asked about, or served stale."""
    said = terms.revalidates or said_lifetime_s(head, terms, wall_now) is not None
    if said and (b"etag" in head.noted or b"last-modified" in head.noted):
        return True
    if terms.strict or not (said or ttl_s > 0):
        return False
    # A setting's window without end is not a reason to keep what nobody has asked for twice.
    windows = (terms.stale_while_revalidate_s, terms.stale_if_error_s)
    return age_s < ttl_s + max((each for each in windows if each < math.inf), default=0.0)


def _answer(head: Head, *facts: Any, span: tuple[int, int, int] | None = None) -> Answer:
    answer = Answer(*facts)
    answer.etag, answer.last_modified = head.first(b"etag"), head.first(b"last-modified")
    answer.span = span
    return answer


def written(terms: Terms, head: Head, ttl_s: float) -> tuple[Header, ...]:
    """The Cache-Control that a rule gives a response which has none of its own.

    With Vary, so that no cache between here and the client mixes up what the rule keeps apart.
    Nothing where a function of the rule does: Vary cannot say that.
    """
    said = head.policy
    if not terms.ruled_s or any(name in SAID for name, _ in said):
        return ()
    if any(b":" in name for name in terms.vary):
        return ()
    control = b"max-age=%d" % ttl_s
    if terms.stale_while_revalidate_s:
        control += b", stale-while-revalidate=%d" % terms.stale_while_revalidate_s
    names = parse_vary([value for name, value in said if name == b"vary"]) or ()
    unsaid = [name for name in terms.vary if name not in names]
    vary = ((b"vary", b", ".join(unsaid)),) if unsaid else ()
    return ((b"cache-control", control), *vary)


def entry_of(
    x: Exchange, answer: Answer, body: bytes, began: int, now: float, values: Values
) -> Entry:
    """The entry that a response makes, with its whole body; `now` is on the monotonic clock.

    `values` are the request's of what the response varies on.
    """
    headers, terms, plan = answer.headers, answer.terms, x.plan
    if answer.added:
        headers = (*headers, *answer.added)
    if answer.length is None and answer.status != 204:
        headers = (*headers, (b"content-length", b"%d" % len(body)))
    born = now - answer.age_s
    until = born + answer.ttl_s
    vary, tags = terms.vary, answer.tags
    if plan is not None and (plan.tags or plan.rule is not None):
        tags = distinct((*tags, *plan.all_tags()))
        began = plan.made_at(began)
    return Entry(
        answer.status,
        headers,
        body,
        born,
        until,
        answer.etag,
        answer.last_modified,
        terms.open_to,
        tags,
        began,
        vary,
        values,
        plan.route if plan is not None else x.template,
        until + (terms.stale_while_revalidate_s if not vary or _behind(vary) else 0.0),
        until + terms.stale_if_error_s,
        terms.strict,
        terms.immutable,
        answer.span,
        now - x.started,
        0 if headers is not answer.headers else answer.size_bytes,
    )


def _behind(vary: tuple[bytes, ...]) -> bool:
    # A request in the background has nothing of the client: it would get another variant.
    return not any(name in PERSONAL or b":" in name for name in vary)


def distinct(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Each tag once."""
    return tuple(dict.fromkeys(tags)) if len(tags) > 1 else tags

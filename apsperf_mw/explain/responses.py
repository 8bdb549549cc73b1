"""What the cache made of a response: of one that it served, and of one that the app gave."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from apsperf_mw.cache.making import SETTLING
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.rules.answer import lifetime_s, read
from apsperf_mw.cache.rules.terms import (
    REFUSALS,
    Asked,
    explicit_s,
    heuristic,
    policy_of,
    ruled_s,
    terms_of,
)
from apsperf_mw.explain.requests import judged, screened
from apsperf_mw.explain.steps import HOUSE, Explanation, Step, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from apsperf_mw.cache.entry import Entry
    from apsperf_mw.cache.rules.answer import Head
    from apsperf_mw.cache.rules.terms import Policy
    from apsperf_mw.exchange import Exchange
    from apsperf_mw.shell import Gate

ROUND = frozenset({"bypass", "off"})
# What else may keep a response out, once the rules have let it in.
LATER: dict[str, tuple[str, str]] = {
    "partial": ("a part of which it is not sure what it is a part of", "RFC 9111 §3.3"),
    "length": ("longer than cache.max_entry_bytes", HOUSE),
    "malformed": ("a field that cannot be sent", "RFC 9110 §5.5"),
    "no-lifetime": ("no lifetime, and nothing to ask about it by", "RFC 9111 §3"),
    "no-cache": ("no-cache, and nothing to ask about it by", "RFC 9111 §5.2.2.4"),
    "purged": ("purged while it was made", HOUSE),
    "uses": ("not asked for cache.min_uses times yet", HOUSE),
    "collapsed": ("what another request fetched was of no use", HOUSE),
}


def served(gate: Gate, x: Exchange, entry: Entry, url: str) -> Explanation:
    """Of a response that came from an entry."""
    steps = list(screened(gate, x, admitted=True))
    if x.key is not None:
        steps += judged(gate.cache, x, x.key, entry, x.head_at)
    detail = f", {x.detail}" if x.detail else ""
    return Explanation(url, f"served from the cache ({x.result}{shown(detail)})", steps)


def answered(gate: Gate, x: Exchange, headers: Sequence[Sequence[bytes]], url: str) -> Explanation:
    """Of a response that the app gave; `headers` are as it gave them."""
    steps = list(screened(gate, x, admitted=x.result not in ROUND))
    if x.result in ROUND:
        return Explanation(url, "went round the cache", steps)
    steps += _asked(gate, x)
    steps += weighed(gate, x, headers)
    stopped = next((step.name for step in steps if step.part == "storing" and step.stops), "")
    return Explanation(url, f"not stored: {stopped}" if stopped else "stored", steps)


def _asked(gate: Gate, x: Exchange) -> Iterator[Step]:
    """Why the app was asked."""
    if x.key is not None:
        yield from judged(gate.cache, x, x.key, x.stale, x.started)


def weighed(gate: Gate, x: Exchange, headers: Iterable[Sequence[bytes]]) -> Iterator[Step]:
    """The storing rules one by one, and where the lifetime comes from."""
    head, asked = read(headers), _asking(x, headers)
    policy = policy_of(asked, head.policy, gate.cache.settings)
    for name, refuses, source in REFUSALS:
        refused = refuses(policy)
        finding = "refuses" if refused else "passes"
        yield Step("storing", name, finding, source, stops=refused)
    if x.detail in LATER:
        finding, source = LATER[x.detail]
        yield Step("storing", x.detail, finding, source, stops=True)
    yield lasting(gate, policy, head)


def _asking(x: Exchange, headers: Iterable[Sequence[bytes]]) -> Asked:
    plan = x.plan or Plan()
    rule = plan.rule
    if rule is not None and callable(rule.ttl):
        rule = rule.settled(x.status, headers)
    return Asked(x.flags & SETTLING, x.method, x.status, rule, plan.kept_out)


def lasting(gate: Gate, policy: Policy, head: Head) -> Step:
    """How long the response is fresh, and by what."""
    settings, now = gate.cache.settings, time()
    terms = terms_of(policy.asked, head.policy, settings)
    if terms.refusal:
        return Step("lifetime", *_source(policy))
    seconds = lifetime_s(head, terms, policy.asked.status, now, settings.cache.heuristic_max_s)
    name, finding, source = _source(policy)
    return Step("lifetime", name, f"{seconds:.0f} s by {finding}", source)


def _source(policy: Policy) -> tuple[str, str, str]:
    control = policy.control
    field = "a targeted field" if policy.targeted else "Cache-Control"
    section = "RFC 9213 §2.2, " if policy.targeted else ""
    if explicit_s(control) is not None and control.s_maxage is not None:
        return "s-maxage", field, f"{section}RFC 9111 §5.2.2.10"
    if explicit_s(control) is not None:
        return "max-age", field, f"{section}RFC 9111 §5.2.2.1"
    if b"expires" in policy.fields and not policy.targeted:
        return "expires", "Expires less Date", "RFC 9111 §5.3"
    if ruled_s(policy):
        return "rule", "the route's rule", HOUSE
    if heuristic(policy):
        return "heuristic", "Last-Modified", "RFC 9111 §4.2.2"
    return "none", "nothing", "RFC 9111 §4.2.1"

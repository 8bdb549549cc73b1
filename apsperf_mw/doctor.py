"""A look at a suite and its routes: what works, what does not, and what will surprise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct

from apsperf_mw.data.health import standings
from apsperf_mw.data.reach import thread_reach
from apsperf_mw.faults import Faults
from apsperf_mw.observe.sinks import choose
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apsperf_mw.cache.policy import Rule
    from apsperf_mw.suite import Suite

Level = Literal["ok", "note", "warning", "error"]


class Route(NamedTuple):
    """One route as its adapter knows it; `guard` names what decides who may pass."""

    template: str
    methods: str
    rule: Rule | None
    guard: str

    @property
    def has_one_url(self) -> bool:
        """Whether it is marked, and takes no parameters in any framework's notation."""
        return bool(self.rule) and "GET" in self.methods and not set("<{(?*") & set(self.template)


class Finding(Struct):
    """One thing that was looked at."""

    level: Level
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<8}{self.about}: {self.text}"


class Checkup(Struct):
    """All findings; `healthy` is whether none of them is an error."""

    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return all(each.level != "error" for each in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def look(suite: Suite, routes: Iterable[Route] = ()) -> Checkup:
    """Look at everything once; asks every driver that the settings name."""
    known = list(routes)
    return Checkup([*_stores(suite), *_cache(suite, known), *_routes(known), *_observing(suite)])


def _stores(suite: Suite) -> Iterator[Finding]:
    for standing in step(standings(suite.registry, thread_reach)):
        if not standing.url:
            continue
        about = f"driver {standing.name}"
        if standing.round_trip_ms is None:
            yield Finding("error", about, f"{standing.health} ({standing.url})")
        else:
            text = f"{standing.health}, {standing.round_trip_ms:g} ms there and back"
            yield Finding("ok", about, text)
    if suite.driver("cache").local:
        yield Finding("note", "cache", f"each process keeps its own; {_reach(suite)}")


def _reach(suite: Suite) -> str:
    """How processes with stores of their own hear of purges."""
    if suite.channel is None:
        return "a purge stays in its process (cache.purge_file)"
    return "purges reach the processes of this host; a driver such as redis is one store for all"


def _cache(suite: Suite, routes: list[Route]) -> Iterator[Finding]:
    settings = suite.settings.cache
    if not settings.enabled:
        yield Finding("warning", "cache.enabled", "false: nothing is cached")
    elif routes and not settings.routes and not any(route.rule for route in routes):
        text = "no route bears a mark: only what responses themselves allow is stored"
        yield Finding("note", "cache", text)
    if settings.share_with_cookie:
        text = "true: what a request with a cookie gets is shared with everybody"
        yield Finding("warning", "cache.share_with_cookie", text)
    for place, count in sorted(suite.faults.counts.items()):
        yield Finding("warning", "faults", f"{count} in {place}")


def _routes(routes: list[Route]) -> Iterator[Finding]:
    for route in routes:
        rule, about = route.rule, f"{route.methods} {route.template}"
        if rule is None:
            continue
        if route.guard and not rule.shared:
            text = f"marked, but behind {route.guard}: never shared, unless it says shared=True"
            yield Finding("warning", about, text)
        elif route.guard:
            yield Finding("note", about, f"shared with everybody, though behind {route.guard}")
        else:
            yield Finding("ok", about, f"cached for {_lifetime(rule)}{_tags(rule)}")


def _lifetime(rule: Rule) -> str:
    """What a rule says of the lifetime, in words."""
    if callable(rule.ttl):
        return f"as {getattr(rule.ttl, '__qualname__', 'its function')} says"
    return rule.ttl if isinstance(rule.ttl, str) else f"{rule.ttl:g} s"


def _tags(rule: Rule) -> str:
    """What a rule says of tags, in words."""
    return f", tags {', '.join(rule.tags)}" if rule.tags else ""


def _observing(suite: Suite) -> Iterator[Finding]:
    exporter, tracing = suite.settings.exporter, suite.settings.tracing
    goes = Faults()
    try:
        choice = choose(exporter, goes)
    except Exception as fault:
        yield Finding("error", "exporter", f"{type(fault).__name__}: {fault}")
        return
    for signal, chosen in (("metrics", choice.metrics), ("spans", choice.spans)):
        if chosen.provider is not None:
            text = f"{signal} go to the program's {type(chosen.provider).__name__}"
            yield Finding("ok", "exporter", text)
        elif chosen.names:
            yield Finding("ok", "exporter", f"{signal} go to {', '.join(chosen.names)}")
        else:
            text = f"{signal} go nowhere: set a provider, OTEL_* variables or exporter.kind"
            yield Finding("note", "exporter", text)
    for place in goes.counts:
        yield Finding("error", "exporter", f"a fault in {place}, which is in the log")
    if tracing.trust_remote_parent:
        text = "true: whoever calls decides what is traced"
        yield Finding("note", "tracing.trust_remote_parent", text)

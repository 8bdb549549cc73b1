"""The log channels: what is slow or wrong, on the loggers `apsperf.performance` and its like."""

from __future__ import annotations

import sys
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from apsperf_mw.observe.lines import LEVELS, Event, Quiet, event, line, safe
from apsperf_mw.observe.record import REPEATS
from apsperf_mw.runtime.threads import Lock, current_thread_id

if TYPE_CHECKING:
    from apsperf_mw.observe.record import Finished
    from apsperf_mw.settings import LoggingSettings

# The parts of a request's time, as they are told.
PARTS = (
    ("database", "database_s"),
    ("cache", "cache_s"),
    ("queue", "queue_s"),
    ("cpu", "cpu_s"),
)

# Steps of a plan that are told.
MOST_LINES = 40


class Channels:
    """Writes lines to the program's own loggers; it sets none of them up.

    A handler that fails is the program's, and one that logs through us again says nothing.
    """

    def __init__(self, settings: LoggingSettings) -> None:
        self._open = frozenset(settings.channels if settings.enabled else ())
        self._threshold = LEVELS[settings.threshold]
        self._as_json = settings.json
        self._slow_s = settings.slow_request_s or float("inf")
        self.slow_query_s = settings.slow_query_s if settings.log_slow_queries else float("inf")
        self._quiet = Quiet(settings.interval_s)
        self._lock = Lock()
        self._writing: set[int] = set()

    def watch(self, batch: list[Finished]) -> None:
        """Tell of what was slow, or asked the same again and again, among finished requests."""
        slow_s = self._slow_s
        for each in batch:
            if each.duration_s > slow_s:
                self._tell_slow(each)
            if each.costs is not None and each.costs.shapes:
                self._tell_repeats(each, each.costs.shapes, each.costs.causes or {})

    def slow_query(
        self,
        statement: str,
        duration_s: float,
        route: str = "",
        ids: tuple[int, int] = (0, 0),
        site: str = "",
    ) -> None:
        """Tell of a statement that took too long, and of the app's line that has sent it.

        It must have no values in it.
        """
        if duration_s <= self.slow_query_s:
            return
        took = round(duration_s, 6)
        facts = {"statement": statement, "duration_s": took, "route": route, "site": site}
        text = "slow query: {duration_s:.3f} s: {statement}" + (" (at {site})" if site else "")
        self.tell(event("database", "slow_query", text, facts, cause=statement, ids=ids))

    def plan(self, statement: str, plan: str) -> None:
        """Tell how the database executes a slow statement; neither has values in it."""
        lines = [safe(each) for each in plan.splitlines()[:MOST_LINES]]
        facts = {"statement": safe(statement), "plan": lines}
        shown = " / ".join(each.replace("  ", "> ") for each in lines)
        text = f"plan of a slow query: {facts['statement']}: {shown}"
        self.tell(Event("database", "plan", "warning", f"plan {facts['statement']}", text, facts))

    def pool_timeout(self, pool: str, holders: list[str]) -> None:
        """Tell of a wait for a connection that was in vain, and of who has them."""
        facts = {"pool": pool, "count": len(holders), "holders": "; ".join(holders)}
        text = "no connection of {pool} in time; {count} are held: {holders}"
        self.tell(event("database", "pool_timeout", text, facts, cause=pool, level="error"))

    def held(self, pool: str, holder: str) -> None:
        """Tell of a connection that somebody has for too long."""
        facts = {"pool": pool, "holder": holder}
        text = "a connection of {pool} is not given back: {holder}"
        cause = holder.partition(" for ")[0]
        self.tell(event("database", "held", text, facts, cause=f"{pool} {cause}"))

    def pooler(self, pool: str) -> None:
        """Tell of a database before which a pooler stands."""
        facts = {"pool": pool}
        text = "a pooler stands before {pool}: statements are not prepared (database.prepare)"
        self.tell(event("database", "pooler", text, facts, cause=f"pooler {pool}"))

    def leak(self, route: str, bytes_per_request: float, evidence: str) -> None:
        """Tell of a route whose requests leave memory behind."""
        facts = {
            "route": route,
            "bytes_per_request": round(bytes_per_request),
            "evidence": evidence,
        }
        text = "memory leak suspected: {route}: {bytes_per_request} bytes a request: {evidence}"
        self.tell(event("memory", "leak", text, facts, cause=route))

    def shed(self, used_bytes: int, limit_bytes: int, freed_bytes: int) -> None:
        """Tell of caches that were emptied for want of memory."""
        facts = {
            "used_bytes": used_bytes,
            "limit_bytes": limit_bytes,
            "freed_bytes": freed_bytes,
        }
        text = "short of memory: {used_bytes} of {limit_bytes} bytes; freed {freed_bytes} of cache"
        self.tell(event("memory", "shed", text, facts))

    def cache_fault(self, place: str, count: int, fault: BaseException) -> None:
        """Tell of a store that fails: its type in the line, its traceback below."""
        facts = {"place": place, "count": count, "error": type(fault).__qualname__}
        text = "fault in {place} ({count} so far): {error}; the app is served without it"
        self.tell(event("cache", "cache_fault", text, facts, cause=place, level="error"), fault)

    def tell(self, told: Event, fault: BaseException | None = None) -> None:
        """Write the event's line, unless its channel is closed or has just said so."""
        level = LEVELS[told.level]
        if told.channel not in self._open or level < self._threshold:
            return
        with self._lock:
            kept_back = self._quiet.admits(told.cause, monotonic())
        me = current_thread_id()
        if kept_back is None or me in self._writing:
            return
        self._writing.add(me)
        try:
            self._write(told, level, kept_back, fault)
        finally:
            self._writing.discard(me)

    def _write(self, told: Event, level: int, kept_back: int, fault: BaseException | None) -> None:
        import logging

        logger = logging.getLogger(f"apsperf.{told.channel}")
        ids = {
            "trace_id": f"{told.trace_id:032x}" if told.trace_id else "",
            "span_id": f"{told.span_id:016x}" if told.span_id else "",
        }
        extra = {"apsperf": {"event": told.name, **told.facts, "repeats": kept_back}, **ids}
        text = line(told, kept_back, as_json=self._as_json)
        logger.log(level, "%s", text, extra=extra, exc_info=fault)
        _emit(logger, told, level, text)

    def _tell_slow(self, each: Finished) -> None:
        method, _, route, status, _, error, result = each.raw
        parts = {} if each.costs is None else split(each.costs)
        facts: dict[str, Any] = {
            "method": method,
            "route": route or "(unknown route)",
            "status": status,
            "duration_s": round(each.duration_s, 6),
            "cache": result,
            "error": error,
            **parts,
        }
        text = "slow request: {method} {route} took {duration_s:.3f} s (status {status})"
        ids = each.trace_id, each.span_id
        cause = f"{method} {route}"
        self.tell(event("performance", "slow_request", text, facts, cause=cause, ids=ids))

    def _tell_repeats(
        self, each: Finished, shapes: dict[str, int], causes: dict[str, tuple[str, str]]
    ) -> None:
        route = each.raw[2] or "(unknown route)"
        for shape, count in shapes.items():
            if count < REPEATS:
                continue
            site, fix = causes.get(shape, ("", ""))
            facts = {
                "route": route,
                "statement": shape,
                "count": count,
                "site": site,
                "fix": fix,
            }
            text = "N+1: {route} sent {count} statements of one shape in a request: {statement}"
            text += (" (at {site})" if site else "") + ("; try {fix}" if fix else "")
            ids = each.trace_id, each.span_id
            cause = f"{route} {shape}"
            self.tell(event("database", "repeated_query", text, facts, cause=cause, ids=ids))


def split(costs: Any) -> dict[str, float]:
    """The seconds of each part that is known."""
    known = {name: getattr(costs, field) for name, field in PARTS}
    return {f"{name}_s": round(value, 6) for name, value in known.items() if value}


def _emit(logger: Any, told: Event, level: int, text: str) -> None:
    """Hand the line to the program's OpenTelemetry logger provider, unless a handler does."""
    logs = sys.modules.get("opentelemetry._logs")
    if logs is None or _has_handler(logger):
        return
    provider = logs.get_logger_provider()
    if type(provider).__name__ in {"ProxyLoggerProvider", "NoOpLoggerProvider"}:
        return
    from apsperf_mw.observe.log_records import emit

    emit(provider, told, level, text, time_ns())


def _has_handler(logger: Any) -> bool:
    """Whether OpenTelemetry's own handler stands on the line's way."""
    while logger is not None:
        if any(type(each).__name__ == "LoggingHandler" for each in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False

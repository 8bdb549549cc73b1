"""Which requests are traced, and whose word counts."""

from __future__ import annotations

from os import environ
from typing import TYPE_CHECKING, TypeVar

from apsperf_mw.errors import SettingError
from apsperf_mw.observe.context import bounded_state, parse_traceparent
from apsperf_mw.observe.environment import excluded_urls, sampler_ratio
from apsperf_mw.observe.ids import bound_of, random_bits, span_id
from apsperf_mw.observe.spans import OwnSpan, root
from apsperf_mw.settings import TracingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from apsperf_mw.exchange import Exchange
    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.context import Remote

T = TypeVar("T")

# Addresses of peers whose standing is remembered.
MOST_PEERS = 1024
# What callers say beside `traceparent`; it is read by the program's propagators.
CARRIED = (b"baggage", b"b3", b"x-b3-traceid")


class Sampling:
    """Decides by the low bits of trace ids, as OpenTelemetry's ratio sampler does.

    `bound` is the number below which they lie, `rules` are shares of paths; `trusting` is whether
    any caller's trace context is believed.
    """

    def __init__(self, settings: TracingSettings, faults: Faults) -> None:
        ratio = settings.sample_ratio
        if ratio == TracingSettings().sample_ratio:
            told = self._read(sampler_ratio, faults)
            ratio = ratio if told is None else told
        self.bound = bound_of(ratio)
        self.rules = tuple(map(_rule, settings.rules))
        self._excluded = self._read(excluded_urls, faults)
        self.by_path = bool(self.rules) or self._excluded is not None
        self._all = settings.trust_remote_parent
        self._networks = tuple(map(_network, settings.trusted_proxies))
        self.trusting = self._all or bool(self._networks)
        self._peers: dict[str, bool] = {}

    def bound_of(self, path: str) -> int:
        """The bound for a path: of the first rule that covers it."""
        if self.excludes(path):
            return 0
        for prefix, whole, bound in self.rules:
            if path == prefix or (not whole and path.startswith(prefix)):
                return bound
        return self.bound

    def excludes(self, path: str) -> bool:
        """Whether the environment wants no trace of it, whatever becomes of it."""
        return self._excluded is not None and self._excluded.search(path) is not None

    def trusts(self, x: Exchange) -> bool:
        """Whether the peer's trace context is believed."""
        if self._all or not self._networks:
            return self._all
        peer = x.client
        known = self._peers.get(peer)
        if known is None:
            if len(self._peers) >= MOST_PEERS:
                self._peers.clear()
            known = self._peers[peer] = self._is_near(peer)
        return known

    def continued(self, x: Exchange) -> OwnSpan | None:
        """The span of a request that brings trace context; None where it is not sampled.

        A trusted caller's decision counts, and its span is the parent. Another's is only linked
        to: who may call must not fill our traces, nor choose what they are part of.
        """
        if self.excludes(x.path):
            return None
        remote = sent(x)
        trusted = self.trusts(x)
        if trusted and any(map(x.fields, CARRIED)):
            from apsperf_mw.observe.carried import carried

            span = carried(x)
            if span is not None:
                return span
        if remote is not None and trusted:
            state = bounded_state(x.fields(b"tracestate"))
            return OwnSpan(remote.trace_id, span_id(), remote.span_id, state, remote.sampled)
        return self._begun(x, remote)

    def _read(self, variable: Callable[[Mapping[str, str]], T], faults: Faults) -> T | None:
        """What the environment says; nothing, and a note, where that is wrong."""
        try:
            return variable(environ)
        except SettingError as fault:
            faults.note("the choice of a sampler", fault)
        return None

    def _begun(self, x: Exchange, remote: Remote | None) -> OwnSpan | None:
        low = random_bits(64)
        if low >= self.bound_of(x.path):
            return None
        span = root(low)
        span.link = link(remote)
        return span

    def _is_near(self, peer: str) -> bool:
        from ipaddress import ip_address

        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def sent(x: Exchange) -> Remote | None:
    """The span that the caller names as its own."""
    lines = x.fields(b"traceparent")
    return parse_traceparent(lines[0]) if len(lines) == 1 else None


def link(remote: Remote | None) -> tuple[int, int] | None:
    """The link to a caller that is not trusted."""
    return remote and (remote.trace_id, remote.span_id)


def _rule(text: str) -> tuple[str, bool, int]:
    path, _, share = text.rpartition("=")
    return path.removesuffix("*"), not path.endswith("*"), bound_of(float(share))


def _network(text: str) -> IPv4Network | IPv6Network:
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise SettingError(f"tracing.trusted_proxies: {error}; accepted: networks") from None

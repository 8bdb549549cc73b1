"""Strategies of other packages: installed, found by name, and used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apsperf_mw import DriverError, SettingError, Suite
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.drivers.eviction import POLICIES
from apsperf_mw.drivers.memory import MemoryDriver
from apsperf_mw.strategies import GROUP, KINDS, offered, strategy
from apsperf_mw.testing.harness import WSGIClient
from apsperf_mw.testing.messages import Request, Response
from tests.core.support import numbered

PACKAGE = '''
from apsperf_mw.drivers.eviction import Eviction


class Newest(Eviction):
    """Evicts what came last."""

    def __init__(self, max_bytes, max_entries):
        super().__init__(max_bytes, max_entries)
        self.arrived = []

    def enter(self, key, slot):
        self.arrived.append(key)

    def forget(self, key, slot):
        self.arrived.remove(key)

    def victim(self):
        return self.arrived[-1]


def without_session(settings):
    return lambda query: query.partition(b"session=")[0]


def by_type(status, fields):
    return 600 if fields.get("content-type", "").startswith("image/") else "short"


class Pages:
    def __init__(self, settings):
        self.counted = []

    def count(self, key):
        self.counted.append(key)

    def admits(self, key):
        return key[4].startswith("/page")


def broken(settings):
    return None


def mobile(agent):
    return b"mobile" if b"Mobile" in agent else b"desktop"
'''
POINTS = """
eviction.newest = apsperf_strategic:Newest
eviction.function = apsperf_strategic:by_type
key.without-session = apsperf_strategic:without_session
key.broken = apsperf_strategic:broken
ttl.by-type = apsperf_strategic:by_type
normal.device = apsperf_strategic:mobile
admission.pages = apsperf_strategic:Pages
admission.broken = apsperf_strategic:broken
admission.missing = apsperf_strategic:nothing
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package that offers one strategy of each kind, and some that are none."""
    info = tmp_path / "apsperf_strategic-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: apsperf-strategic\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]{POINTS}")
    (tmp_path / "apsperf_strategic.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)


pytestmark = pytest.mark.usefixtures("installed")


def test_an_eviction_policy() -> None:
    suite = Suite(drivers={"memory": "memory://?max_entries=2&policy=newest"})
    client = WSGIClient(suite, numbered())
    for path in ("/a", "/b", "/c"):
        client.ask(path)
    assert [client.ask(path).cache.hit for path in ("/a", "/c", "/b")] == [True, True, False]


def test_a_form_of_keys() -> None:
    suite = Suite(cache={"key": "without-session"})
    client = WSGIClient(suite, numbered())
    client.ask("/a?x=1&session=mine")
    assert client.ask("/a?x=1&session=yours").cache.hit
    assert not client.ask("/a?x=2&session=mine").cache.hit
    suite.purge(urls=["/a?x=1&session=anybodys"])
    assert not client.ask("/a?x=1&session=mine").cache.hit


@pytest.mark.parametrize("ttl", ["by-type", "apsperf_strategic:by_type"])
def test_lifetimes(ttl: str) -> None:
    route = {"path": "/**", "ttl": ttl}
    client = WSGIClient(Suite(cache={"routes": [route]}), typed)
    for path in ("/image", "/page"):
        client.ask(path)
    lifetimes = [client.ask(path).cache.ttl_s for path in ("/image", "/page")]
    assert [300 < ttl_s <= 600 for ttl_s in lifetimes if ttl_s is not None] == [True, False]


def test_lifetimes_of_a_marked_view() -> None:
    client = WSGIClient(Suite(), lambda _: unsaid(plan=Plan(rule=rule("by-type"))))
    client.ask()
    assert client.ask().cache.hit


def test_normal_forms() -> None:
    def app(_request: Request) -> Response:
        headers = (("Cache-Control", "max-age=60"), ("Vary", "User-Agent"))
        return Response(200, headers, [b"page"])

    client = WSGIClient(Suite(cache={"normal_forms": ["user-agent=device"]}), app)
    client.ask(headers={"User-Agent": "Mobile 1"})
    assert client.ask(headers={"User-Agent": "Mobile 2"}).cache.hit
    assert not client.ask(headers={"User-Agent": "Other"}).cache.hit


def test_admission() -> None:
    client = WSGIClient(Suite(cache={"admission": "pages"}), numbered())
    for path in ("/page", "/asset"):
        client.ask(path)
    assert client.ask("/page").cache.hit
    assert not client.ask("/asset").cache.hit


def test_each_kind_lists_what_there_is() -> None:
    assert [offered(kind) for kind in KINDS] == [
        sorted([*POLICIES, "function", "newest"]),
        ["broken", "without-session"],
        ["by-type"],
        ["broken", "missing", "pages"],
        ["device"],
    ]


def test_ours_are_offered_as_others_are() -> None:
    assert {name: strategy("eviction", name, {}) for name in POLICIES} == POLICIES


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MemoryDriver.from_url("memory://?policy=fifo"), ["fifo", "gdsf", "lru", "newest"]),
        (lambda: MemoryDriver.from_url("memory://?policy="), ["''", "sieve"]),
        (lambda: MemoryDriver.from_url("memory://?policy=function"), ["function", "Eviction"]),
        (lambda: Suite(cache={"key": "nosuch"}), ["nosuch", "query", "without-session"]),
        (lambda: Suite(cache={"key": "broken"}), ["cache.key", "broken", "a function of a query"]),
        (lambda: Suite(cache={"admission": "rare"}), ["rare", "pages", "uses"]),
        (lambda: Suite(cache={"admission": "broken"}), ["cache.admission", "count and admits"]),
        (lambda: Suite(cache={"admission": "missing"}), ["missing", "apsperf_strategic:nothing"]),
        (lambda: Suite(cache={"admission": "a b"}), ["cache.admission", "name of a strategy"]),
        (lambda: rule("by-size"), ["by-size", "short", "by-type"]),
        (lambda: rule("apsperf_strategic:POINTS"), ["apsperf_strategic:POINTS"]),
        (lambda: Suite().cached(ttl="by-type")(len), ["by-type"]),
    ],
)
def test_what_is_none_is_refused_with_what_is_accepted(
    make: Callable[[], object], said: list[str]
) -> None:
    with pytest.raises((DriverError, SettingError)) as refusal:
        make()
    for part in said:
        assert part in str(refusal.value)


def typed(request: Request) -> Response:
    return unsaid("image/png" if "image" in request.target else "text/html")


def unsaid(kind: str = "text/html", plan: Plan | None = None) -> Response:
    """A response that says nothing of its lifetime."""
    return Response(headers=(("Content-Type", kind),), body=[b"page"], plan=plan)

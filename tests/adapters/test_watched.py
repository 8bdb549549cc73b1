"""A suite whose cache is off: it observes, and the app behaves as it does bare."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.conftest import Make
from tests.adapters.support import Site, outward
from tests.adapters.test_route_templates import ITEM

pytestmark = pytest.mark.usefixtures("little_to_walk")

# Django, bare too, leaves the file of a request's body to the collector where a view fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OFF: dict[str, Any] = {
    "cache": {"enabled": False},
    "exporter": {"kind": "memory"},
    "tracing": {"sample_ratio": 1.0},
}


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


TARGETS = ("/plain", "/item/7", "/cookie", "/status/404", "/stream", "/error", "/gone", "/nowhere")


def memory_of(site: Site) -> Any:
    assert site.suite.flush(20)
    return site.suite.exporter.memory


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_responses_are_those_of_the_bare_app(make: Make, target: str, method: str) -> None:
    bare = make(bare=True)
    theirs = bare.ask(target, method=method)
    watched = make(**OFF)
    assert outward(watched.ask(target, method=method)) == outward(theirs)
    assert type(watched.raised) is type(bare.raised)
    watched.suite.close()


def test_each_request_is_one_point_and_one_span(make: Make) -> None:
    site = make(**OFF)
    site.ask("/item/7")
    site.ask("/item/8")
    memory = memory_of(site)
    (point,) = memory.points("http.server.request.duration")
    assert point.count == 2
    assert point.attributes["http.response.status_code"] == 200
    assert point.attributes.get("http.route", "") == ITEM[make.stack]
    (size,) = memory.points("http.server.response.body.size")
    assert size.sum > 2
    names = {span.name for span in memory.spans}
    assert names == {f"GET {ITEM[make.stack]}".strip()}
    (results,) = memory.points("apsperf.cache.requests")
    assert results.attributes["apsperf.cache.result"] == "off"
    assert not site.suite.exporter.live
    site.suite.close()


def test_a_stream_is_timed_to_its_end(make: Make) -> None:
    site = make(**OFF)
    reply = site.ask("/astream" if make.stack == "django-asgi" else "/stream")
    memory = memory_of(site)
    (point,) = memory.points("http.server.response.body.size")
    assert point.sum == len(reply.body)
    assert memory.points("apsperf.server.stream.duration")
    assert not site.suite.exporter.live
    site.suite.close()


def test_a_failure_is_told(make: Make) -> None:
    site = make(**OFF)
    site.ask("/error")
    (point,) = memory_of(site).points("http.server.request.duration")
    assert point.attributes["error.type"]
    assert not site.suite.exporter.live
    site.suite.close()


def test_with_everything_off_the_app_is_bare(make: Make) -> None:
    off: dict[str, Any] = {name: {"enabled": False} for name in ("timing", "memory", "tracing")}
    bare = make(bare=True)
    theirs = [outward(bare.ask(target)) for target in TARGETS]
    passed = make(cache={"enabled": False}, **off)
    assert [outward(passed.ask(target)) for target in TARGETS] == theirs
    assert not passed.suite.exporter.started


@pytest.mark.parametrize("cache", [True, False])
def test_header_fields_that_are_asked_for_are_told(make: Make, cache: bool) -> None:
    fields = {"request_headers": ["x-tenant", "cookie"], "response_headers": ["*"]}
    tracing = {"sample_ratio": 1.0, **fields}
    site = make(**{**OFF, "cache": {"enabled": cache}, "tracing": tracing})
    site.ask("/cookie", {"X-Tenant": "blue", "Cookie": "sid=tiny"})
    (span,) = memory_of(site).spans
    told = {name: value for name, value in span.attributes.items() if ".header." in name}
    assert told["http.request.header.x-tenant"] == ("blue",)
    assert told["http.request.header.cookie"] == ("[REDACTED]",)
    assert set(told["http.response.header.set-cookie"]) == {"[REDACTED]"}
    assert told["http.response.header.content-type"][0].startswith("text/")
    assert "tiny" not in repr(told)
    site.suite.close()

"""The same requests under OpenTelemetry's own middleware and under us: each difference has a cause.

A difference is listed with its cause, or it is our fault; one that is listed and does not occur
any more is struck off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from apsperf_mw import Suite
from tests.observe.peer import MATRIX, asgi_app, ask_asgi, ask_wsgi, told, wsgi_app
from tests.observe.support import ROOT

OURS = {
    "apsperf.cache.result": "ours",
    "cache.hit": "ours",
    "network.peer.address": "recommended by the conventions; theirs leaves it out or says another",
}
THEIRS = {
    "client.port": "says nothing of the request, and makes each span differ",
    "http.host": "an old name beside the new ones",
    "net.peer.port": "an old name beside the new ones",
    "net.host.port": "an old name beside the new ones",
    "network.peer.port": "as client.port",
}
OTHERWISE = {
    "server.address": "theirs is where the server listens, with the port in it; ours is the Host",
    "server.port": "as server.address",
    "url.query": "theirs tells the values; ours the names alone",
    "url.path": "theirs may hold the whole URL",
    "error.type": "theirs leaves it out where the app raised",
    "client.address": "older releases of theirs leave it out",
}
NAMES = {
    "asgi": "theirs takes the path for the route, so that each URL is a span name of its own",
    "wsgi": "as asgi",
}


Both = tuple[str, dict[str, Any], dict[str, Any]]


@pytest.fixture(params=["asgi", "wsgi"])
def both(request: pytest.FixtureRequest) -> Both:
    """A shell, and what they and we tell of the matrix."""
    return compared(request.param)


def compared(shell: str) -> Both:
    done = subprocess.run(
        [sys.executable, "-m", "tests.observe.peer", shell],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    suite = Suite(exporter={"kind": "memory"}, tracing={"sample_ratio": 1.0})
    app: Any = suite.asgi(asgi_app) if shell == "asgi" else suite.wsgi(wsgi_app)
    ask = ask_asgi if shell == "asgi" else ask_wsgi
    for method, path in MATRIX:
        ask(app, method, path)
    assert suite.flush(20)
    memory = suite.exporter.memory
    assert memory is not None
    ours = json.loads(json.dumps(told(memory.spans, memory.metrics)))
    suite.close()
    return shell, theirs, ours


def servers(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in of["spans"] if span["kind"] == "SERVER"]


def test_one_span_a_request_and_theirs_are_more(both: Both) -> None:
    shell, theirs, ours = both
    assert len(ours["spans"]) == len(servers(ours)) == len(servers(theirs)) == len(MATRIX)
    more = len(theirs["spans"]) - len(MATRIX)
    assert (more > 50) == (shell == "asgi")  # one for each message that is sent


def test_spans_have_the_same_status_and_attributes(both: Both) -> None:
    _, theirs, ours = both
    for request, their, our in zip(MATRIX, servers(theirs), servers(ours), strict=True):
        assert our["status"] == their["status"], request
        differing = {
            name
            for name in {*their["attributes"], *our["attributes"]}
            if their["attributes"].get(name) != our["attributes"].get(name)
        }
        explained = {*OURS, *THEIRS, *OTHERWISE}
        assert differing <= explained, (request, their, our)
        for name in differing & OURS.keys():
            assert name in our["attributes"]
        assert not {*our["attributes"]} & THEIRS.keys()


def test_query_values_are_in_nothing_of_ours(both: Both) -> None:
    _, _, ours = both
    assert "s3cret" not in json.dumps(ours)
    assert {span["attributes"]["url.query"] for span in ours["spans"]} == {"token=REDACTED"}


def test_names_of_spans(both: Both) -> None:
    shell, theirs, ours = both
    assert NAMES[shell]
    for (method, path), their, our in zip(MATRIX, servers(theirs), servers(ours), strict=True):
        known = method if method != "BREW" else "HTTP"
        assert our["name"] == known
        assert their["name"] in {known, f"{known} {path}"}


def counted(of: dict[str, Any], metric: str) -> dict[tuple[tuple[str, str], ...], int]:
    """The points of a metric by what both tell."""
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for attributes, count in of["metrics"][metric]:
        known = {
            name: str(value)
            for name, value in attributes.items()
            if name not in {"error.type", "server.address", "server.port"}
        }
        key = tuple(sorted(known.items()))
        counts[key] = counts.get(key, 0) + count
    return counts


def test_durations_are_counted_alike(both: Both) -> None:
    _, theirs, ours = both
    name = "http.server.request.duration"
    assert counted(ours, name) == counted(theirs, name)


def test_requests_under_way_are_told_by_the_same_attributes(both: Both) -> None:
    _, theirs, ours = both
    name = "http.server.active_requests"
    keys = {frozenset(attributes) for attributes, _ in theirs["metrics"][name]}
    assert all({"http.request.method", "url.scheme"} <= each for each in keys)
    assert not ours["metrics"].get(name)  # what is over is not under way


CAPTURES = {
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Tenant,x-plan-.*,x-mine",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "content-.*,Vary",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "MINE",
}
SECRETS = {
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "authorization",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "set-cookie",
}


def captured(of: dict[str, Any]) -> list[dict[str, Any]]:
    """What the spans tell of header fields; theirs writes `_` where the conventions want `-`."""
    return [
        {
            name.replace("_", "-"): value
            for name, value in span["attributes"].items()
            if ".header." in name
        }
        for span in servers(of)
    ]


@pytest.mark.parametrize("shell", ["asgi", "wsgi"])
def test_header_fields_are_told_alike(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CAPTURES.items():
        monkeypatch.setenv(name, value)
    _, theirs, ours = compared(shell)
    assert captured(ours) == captured(theirs)
    first = captured(ours)[0]
    assert len(first) == 5
    assert first["http.request.header.x-mine"] == ["[REDACTED]"]
    names = {name for span in servers(ours) for name in span["attributes"] if ".header." in name}
    assert "http.request.header.x-plan-a" in names
    assert not any("_" in name for name in names)


@pytest.mark.parametrize("shell", ["asgi", "wsgi"])
def test_secrets_are_told_by_theirs_alone(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    _, theirs, ours = compared(shell)
    assert captured(theirs)[0]["http.request.header.authorization"] == ["Basic dTpw"]
    assert captured(ours)[0] == {
        "http.request.header.authorization": ["[REDACTED]"],
        "http.response.header.set-cookie": ["[REDACTED]"],
    }
    assert "dTpw" not in json.dumps(ours)
    assert "mini" not in json.dumps(ours)

"""Streams pass chunk by chunk, and are stored when they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.adapters.conftest import Make, Maker
from tests.adapters.support import CHUNKS, Site

# Each framework streams what its interface can: Django awaits no sync generator, WSGI no async one.
TARGETS = {
    "starlette": ("/stream", "/astream"),
    "fastapi": ("/stream", "/astream"),
    "flask": ("/stream",),
    "django-wsgi": ("/stream",),
    "django-asgi": ("/astream",),
}


CASES = [(stack, target) for stack, targets in TARGETS.items() for target in targets]


@pytest.fixture(params=CASES, ids=" ".join)
def streamed(request: pytest.FixtureRequest) -> Iterator[tuple[Site, str]]:
    stack, target = request.param
    with ExitStack() as opened:
        yield Maker(stack, opened)(), target


def test_chunks_go_out_as_they_are_made(streamed: tuple[Site, str]) -> None:
    site, target = streamed
    events = site.pages.events
    reply = site.ask(target, seen=lambda chunk: events.append(f"got {chunk.decode()}"))
    told = [f"{verb} {chunk.decode()}" for chunk in CHUNKS for verb in ("made", "got")]
    assert events == told
    assert reply.chunks == list(CHUNKS)
    assert reply.cache.stored


def test_a_stream_is_stored_at_its_end(streamed: tuple[Site, str]) -> None:
    site, target = streamed
    site.ask(target)
    hit = site.ask(target)
    assert hit.cache.hit
    assert hit.body == b"".join(CHUNKS)
    assert hit.header("content-length") == str(len(hit.body))
    assert site.calls == {"stream": 1}


def test_a_stream_over_the_limit_passes_unstored(make: Make) -> None:
    site = make(cache={"max_entry_bytes": 6})
    target = TARGETS[make.stack][-1]
    for turn in (1, 2):
        assert site.ask(target).chunks == list(CHUNKS)
        assert site.calls == {"stream": turn}


def test_an_exchange_ends_after_its_last_byte(streamed: tuple[Site, str]) -> None:
    site, target = streamed
    reply = site.ask(target, seen=lambda _: site.pages.events.append(f"{len(site.ended)} ended"))
    assert [event for event in site.pages.events if "ended" in event] == ["0 ended"] * 3
    [x] = site.ended
    assert (x.sent_bytes, x.status, x.done) == (len(reply.body), 200, True)
    assert x.started <= x.head_at <= x.ended_at

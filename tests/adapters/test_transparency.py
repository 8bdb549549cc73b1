"""Errors, pages for errors and everything else reach the client as they do without the suite."""

from __future__ import annotations

import logging

import pytest

from apsperf_mw.exchange import Header
from tests.adapters.conftest import Make
from tests.adapters.support import Site, outward

TARGETS = (
    "/plain",
    "/item/7",
    "/item/none",
    "/unmarked?control=max-age%3D60",
    "/said?control=private",
    "/said",
    "/cookie",
    "/etag",
    "/status/204",
    "/status/302",
    "/status/503",
    "/gone",
    "/error",
    "/nowhere",
    "/item/7/",
    "/session/read",
)


def replies(site: Site, method: str) -> dict[str, object]:
    """What the client sees of each target, and what the app lets through to the server."""
    return {
        target: (unruled(outward(site.ask(target, method=method))), repr(site.raised))
        for target in TARGETS
    }


# What a mark tells the client where the view says nothing itself.
RULED = {(b"cache-control", b"max-age=%d" % ttl_s) for ttl_s in (300, 1800, 86_400)}


def unruled(reply: tuple[int, list[Header], bytes]) -> tuple[int, list[Header], bytes]:
    status, headers, body = reply
    return status, [field for field in headers if field not in RULED], body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_replies_are_the_bare_apps(make: Make, method: str) -> None:
    logging.disable()
    try:
        bare, wrapped = replies(make(bare=True), method), replies(make(), method)
        assert wrapped == bare
    finally:
        logging.disable(logging.NOTSET)


def test_an_error_page_is_not_stored_and_ends_the_exchange(make: Make) -> None:
    site = make()
    for turn in (1, 2):
        reply = site.ask("/error")
        assert reply.status == 500
        assert site.calls == {"error": turn}
    assert [x.status for x in site.ended] == [500, 500]
    raises = make.stack in {"starlette", "fastapi"}  # these let the server see the exception
    assert repr(site.raised) == ("RuntimeError('error 2')" if raises else "None")


def test_a_marked_view_may_say_404_by_an_exception(make: Make) -> None:
    site = make()
    for turn in (1, 2):
        assert site.ask("/gone").status == 404
        assert site.calls == {"gone": turn}

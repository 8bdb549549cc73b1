"""A view that used the session is for one user, whatever else it says."""

from __future__ import annotations

import pytest
from starlette.middleware import sessions

from tests.adapters.conftest import Make
from tests.adapters.support import Site, cookies_of


def test_a_view_that_leaves_the_session_alone_is_stored(make: Make) -> None:
    """The control: the same mark, the same fields, the same middleware."""
    site = make()
    # Older releases of Starlette do not tell, and then no view behind the middleware is stored.
    tells = make.stack not in {"starlette", "fastapi"} or hasattr(sessions, "Session")
    alice = cookies_of(site.ask("/session/write"))
    site.ask("/session/idle", alice)
    assert site.ask("/session/idle", alice).cache.hit == tells
    assert site.ask("/session/idle").cache.hit == tells


@pytest.mark.parametrize("view", ["write", "read"])
def test_a_view_that_used_the_session_is_not_stored(site: Site, view: str) -> None:
    alice = cookies_of(site.ask("/session/write"))
    for _ in range(2):
        reply = site.ask(f"/session/{view}", alice)
        assert (reply.status, reply.cache.stored, reply.cache.hit) == (200, False, False)
        assert reply.cache.detail in {"private", "set-cookie"}


def test_one_users_page_never_reaches_another(site: Site) -> None:
    alice = cookies_of(site.ask("/session/write"))
    assert site.ask("/session/read", alice).body == b"alice session read 1"
    assert site.ask("/session/read").body == b"None session read 2"
    assert site.ask("/session/read", {"Cookie": "session=forged"}).body == b"None session read 3"
    assert site.ask("/session/read", alice).body == b"alice session read 4"

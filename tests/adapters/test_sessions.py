"""A view that used the session is for one user, whatever else it says."""

from __future__ import annotations

import pytest
from starlette.middleware import sessions

from tests.adapters.conftest import Make
from tests.adapters.support import Site, cookies_of


def test_a_view_that_leaves_the_session_alone_is_stored(make: Make) -> None:
    """The control: the same mark, the same fields, the same middleware."""
    site = make()
    alice = cookies_of(site.ask("/session/write"))
    site.ask("/session/idle", alice)
    assert site.ask("/session/idle", alice).cache.hit == tells(make)
    site.ask("/session/idle")
    assert site.ask("/session/idle").cache.hit


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
    assert b"alice" not in site.ask("/session/read", {"Cookie": "session=forged"}).body


def test_a_page_for_nobody_never_reaches_a_user(make: Make) -> None:
    site = make()
    alice = cookies_of(site.ask("/session/write"))
    assert site.ask("/session/read").body == b"None session read 1"
    assert site.ask("/session/read", alice).cache.hit != tells(make)


def tells(make: Make) -> bool:
    """Whether the framework tells that a session was read; Starlette does in newer releases.

    Where it does not, a session that holds something counts as used, an empty one does not, and
    the view's own word that it is public stands.
    """
    return make.stack not in {"starlette", "fastapi"} or hasattr(sessions, "Session")

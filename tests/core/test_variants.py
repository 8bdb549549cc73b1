"""Vary, the limits on variants, and eviction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw import SettingError, Suite
from apsperf_mw.cache.entry import Fork
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Request, Response
from tests.core.support import fresh, numbered

Wrap = Callable[..., Client]


def echo(*vary: str) -> Callable[[Request], Response]:
    """Tells the fields it varies on, so that a wrong variant is seen at once."""
    names = [name for line in vary for name in line.replace(" ", "").split(",")]

    def app(request: Request) -> Response:
        told = ";".join(f"{name}={request.header(name)!r}" for name in names)
        return fresh(*(("Vary", line) for line in vary), body=[told.encode()])

    return app


def test_each_value_has_its_own_variant(wrap: Wrap) -> None:
    client = wrap(echo("Accept-Language"))
    for language in ("en", "de", "en, de", "en-GB"):
        headers = {"Accept-Language": language}
        first, second = client.ask(headers=headers), client.ask(headers=headers)
        assert first.body == second.body == f"Accept-Language={language!r}".encode()
        assert (first.cache.stored, second.cache.hit) == (True, True)
    assert client.ask(headers={"Accept-Language": "en"}).cache.hit
    assert client.calls == 4


def test_absent_and_empty_are_two_values(wrap: Wrap) -> None:
    client = wrap(echo("X-Mode"))
    for headers in ({}, {"X-Mode": ""}):
        first, second = client.ask(headers=headers), client.ask(headers=headers)
        expected = b"X-Mode=''" if headers else b"X-Mode=None"
        assert (first.body, second.body, second.cache.hit) == (expected, expected, True)


def test_names_in_other_case_are_the_same(wrap: Wrap) -> None:
    client = wrap(echo("ACCEPT"))
    client.ask(headers={"accept": "a"})
    assert client.ask(headers={"Accept": "a"}).cache.hit


def test_two_lines_are_one_list(wrap: Wrap) -> None:
    client = wrap(echo("Accept", "Accept-Language, X-Mode"))
    base = {"Accept": "a", "Accept-Language": "en", "X-Mode": "1"}
    client.ask(headers=base)
    assert client.ask(headers=base).cache.hit
    for name in base:
        other = client.ask(headers={**base, name: "other"})
        assert (other.cache.hit, b"other" in other.body) == (False, True)


def test_repeated_request_fields_count_in_their_order(wrap: Wrap) -> None:
    client = wrap(echo("Accept"))
    client.ask(headers=[("Accept", "a"), ("Accept", "b")])
    assert client.ask(headers=[("Accept", "a"), ("Accept", "b")]).cache.hit
    assert not client.ask(headers=[("Accept", "b"), ("Accept", "a")]).cache.hit
    assert not client.ask(headers=[("Accept", "a")]).cache.hit


@pytest.mark.parametrize("lines", [["*"], ["Accept, *"], ["Accept", "*"], ["Accept Language"]])
def test_vary_on_everything_is_never_stored(wrap: Wrap, lines: list[str]) -> None:
    client = wrap(numbered(("Cache-Control", "max-age=60"), *(("Vary", line) for line in lines)))
    assert client.ask().cache.detail == "vary"
    assert client.ask().body == b"answer 2"


def test_a_url_whose_responses_vary_on_different_fields(wrap: Wrap) -> None:
    """Each is found by the union of what the URL was seen to vary on, and never for another."""

    def app(request: Request) -> Response:
        if mode := request.header("x-mode"):
            return fresh(("Vary", "X-Mode"), body=[mode.encode()])
        return fresh(("Vary", "X-Mode, Accept"), body=[str(request.header("accept")).encode()])

    client = wrap(app)
    cases: list[dict[str, str]] = [
        {"Accept": "a"},
        {"Accept": "b"},
        {"Accept": "a", "X-Mode": "1"},
        {"Accept": "a", "X-Mode": "2"},
    ]
    for _ in range(3):
        for headers in cases:
            reply = client.ask(headers=headers)
            assert reply.body == headers.get("X-Mode", headers["Accept"]).encode()
    assert all(client.ask(headers=headers).cache.hit for headers in cases)


def test_a_response_that_stops_varying_is_still_found(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        accept = request.header("accept")
        return fresh(*([("Vary", "Accept")] if accept else []), body=[str(accept).encode()])

    client = wrap(app)
    for accept in ("a", None):
        client.ask(headers={"Accept": accept} if accept else {})
    for accept in ("a", None):
        hit = client.ask(headers={"Accept": accept} if accept else {})
        assert (hit.cache.hit, hit.body) == (True, str(accept).encode())


def test_variants_of_a_url_are_limited_and_the_oldest_goes(wrap: Wrap) -> None:
    client = wrap(echo("User-Agent"), max_variants=4)
    for number in range(6):
        client.ask(headers={"User-Agent": str(number)})
    driver = client.suite.driver("cache")
    assert driver.stats()["entries"] == 4 + 1  # type: ignore[union-attr]
    hits = [client.ask(headers={"User-Agent": str(number)}).cache.hit for number in (5, 4, 3, 2)]
    assert hits == [True] * 4
    assert not client.ask(headers={"User-Agent": "0"}).cache.hit


def test_a_flood_of_agents_leaves_64_variants(wrap: Wrap) -> None:
    client = wrap(echo("User-Agent"))
    for number in range(200):
        client.ask(headers={"User-Agent": str(number)})
    driver = client.suite.driver("cache")
    assert driver.stats()["entries"] == 64 + 1  # type: ignore[union-attr]
    slots = driver._cache.slots.values()  # type: ignore[union-attr]
    forks = [slot.value for slot in slots if isinstance(slot.value, Fork)]
    assert [len(fork.variants) for fork in forks] == [64]
    assert client.ask(headers={"User-Agent": "199"}).cache.hit


def test_a_variant_is_renewed_not_doubled(wrap: Wrap, clock: Any) -> None:
    client = wrap(echo("Accept"), max_variants=2)
    for _ in range(5):
        for accept in ("a", "b"):
            client.ask(headers={"Accept": accept})
        clock.move(61)
    assert client.suite.driver("cache").stats()["entries"] == 3  # type: ignore[union-attr]


def test_entries_make_room_for_others(wrap: Wrap) -> None:
    small = {"memory": "memory://?max_entries=3&policy=lru"}
    client = wrap(numbered(), Suite(drivers=small))
    for number in range(4):
        client.ask(f"/{number}")
    assert not client.ask("/0").cache.hit
    assert client.ask("/3").cache.hit
    assert client.suite.driver("cache").stats()["evictions"] == 2  # type: ignore[union-attr]


def test_an_evicted_fork_leaves_no_wrong_variant(wrap: Wrap) -> None:
    client = wrap(echo("Accept"), Suite(drivers={"memory": "memory://?max_entries=2"}))
    for accept in ("a", "b", "c", "a", "b", "c"):
        assert client.ask(headers={"Accept": accept}).body == f"Accept={accept!r}".encode()


def test_key_headers_separate_what_does_not_say_vary(wrap: Wrap) -> None:
    client = wrap(
        lambda r: fresh(body=[str(r.header("x-tenant")).encode()]), key_headers=["X-Tenant"]
    )
    for tenant in ("a", "b", "", None, "a", "b"):
        headers = {} if tenant is None else {"X-Tenant": tenant}
        assert client.ask(headers=headers).body == str(tenant).encode()
    assert client.calls == 4
    assert client.ask(headers={"X-Tenant": "a"}).cache.hit


def first_language(value: bytes) -> bytes:
    """A normal form: the language that is named first."""
    return value.partition(b",")[0].partition(b"-")[0].lower()


def test_a_normal_form_of_the_users_own_decides_what_is_alike(wrap: Wrap) -> None:
    forms = [f"Accept-Language={__name__}:first_language"]
    client = wrap(echo("Accept-Language"), normal_forms=forms)
    client.ask(headers={"Accept-Language": "de-AT, en"})
    assert client.ask(headers={"Accept-Language": "DE, fr;q=0.3"}).cache.hit
    assert not client.ask(headers={"Accept-Language": "en, de"}).cache.hit
    assert client.calls == 2


def test_a_normal_form_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(SettingError, match="normal strategy 'nowhere' is not known; known: spaced"):
        Suite(cache={"normal_forms": ["accept=nowhere"]})
    with pytest.raises(SettingError, match="accepted: a function of a value as bytes"):
        Suite(cache={"normal_forms": ["accept=math:pi"]})


def test_what_a_failing_normal_form_concerns_goes_round_the_cache(wrap: Wrap) -> None:
    client = wrap(echo("Accept"), normal_forms=["Accept=builtins:len"])
    for _ in range(2):
        assert client.ask(headers={"Accept": "a"}).status == 200
    assert client.calls == 2
    assert client.suite.faults.counts


def test_values_of_many_clients_are_forgotten_again(wrap: Wrap) -> None:
    client = wrap(echo("Accept"))
    for number in range(3000):
        client.ask(headers={"Accept": f"text/{number}"})
    assert len(client.suite.responses.selection._known) <= 1024
    client.ask(headers={"Accept": "a" * 5000})
    assert client.ask(headers={"Accept": "a" * 5000}).cache.hit
    assert not any("a" * 600 in str(said) for said in client.suite.responses.selection._known)

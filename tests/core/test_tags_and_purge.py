"""Tags from fields and from code, and what each kind of purge reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.keys import environ_key
from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.tags import Purge, Tags
from apsperf_mw.errors import SettingError
from apsperf_mw.testing.forms import environ_of, make_request
from apsperf_mw.testing.harness import Client
from apsperf_mw.testing.messages import Gate, Request, Response
from tests.core.conftest import Clock
from tests.core.support import (
    ETAG,
    MINUTE,
    Script,
    followers,
    fresh,
    numbered,
    once,
    page,
    parts,
    replies,
)

Wrap = Callable[..., Client]
ENTRY = Entry(200, (), b"", 0.0, 0.0)
Fields = tuple[tuple[str, str], ...]


@pytest.mark.parametrize(
    ("fields", "tags", "others"),
    [
        ((("Cache-Tag", "a, b c,,d"),), ["a", "b c", "d"], ["b", "c", "a, b c", ""]),
        ((("Surrogate-Key", "a b  c,d"),), ["a", "b", "c,d"], ["c", "d", "a b"]),
        ((("Cache-Tag", "a"), ("cache-tag", "b"), ("Surrogate-Key", "c")), ["a", "b", "c"], ["A"]),
        ((("Cache-Tag", "caf\xe9"),), ["caf\xe9"], ["cafe"]),
    ],
    ids=str,
)
def test_tags_in_fields(wrap: Wrap, fields: Fields, tags: list[str], others: list[str]) -> None:
    client = wrap(numbered(*MINUTE, *fields))
    client.ask()
    for other in filter(None, others):
        client.suite.purge(other)
    assert client.ask().cache.hit
    for tag in tags:
        client.suite.purge(tag)
        assert not client.ask().cache.hit
        assert client.ask().cache.hit


@pytest.mark.parametrize("keep", [False, True])
def test_tags_in_fields_are_kept_from_clients_unless_the_settings_say_so(
    wrap: Wrap, clock: Clock, keep: bool
) -> None:
    said = (*MINUTE, ("Cache-Tag", "a"), ("Surrogate-Key", "b"), ETAG)
    app = Script(page("0123", *said), Response(304, said))
    client = wrap(app, keep_tag_headers=keep)
    got = [client.ask(), client.ask()]
    clock.move(61)
    got += [client.ask(), client.ask(), client.ask(headers={"Range": "bytes=0-1"})]
    got += [client.ask(method="HEAD"), client.ask(headers={"Cookie": "s=1"})]
    for reply in got:
        assert reply.header("cache-tag") == ("a" if keep else None)
        assert reply.header("surrogate-key") == ("b" if keep else None)
    client.suite.purge("a", hard=True)
    assert not client.ask().cache.hit


def test_an_empty_tag_field_is_kept_from_clients_too(wrap: Wrap) -> None:
    client = wrap(numbered(*MINUTE, ("Cache-Tag", " , ")))
    for _ in range(2):
        assert client.ask().header("cache-tag") is None


def test_a_304_may_name_more_tags(wrap: Wrap, clock: Clock) -> None:
    newer = Response(304, (*MINUTE, ("Cache-Tag", "b")))
    for tag in ("a", "b"):
        client = wrap(Script(fresh(ETAG, ("Cache-Tag", "a")), newer))
        client.ask()
        clock.move(61)
        client.ask()
        assert client.ask().cache.hit
        client.suite.purge(tag)
        assert not client.ask().cache.hit


def test_an_entry_that_gathers_tags_without_end_is_fetched_anew(wrap: Wrap, clock: Clock) -> None:
    calls = 0

    def app(request: Request) -> Response:
        nonlocal calls
        calls += 1
        tags = ("Cache-Tag", ",".join(f"{calls}-{number}" for number in range(600)))
        asked = request.header("if-none-match") is not None
        return Response(304, (*MINUTE, tags)) if asked else fresh(ETAG, tags)

    client = wrap(app)
    for _ in range(6):
        assert client.ask().status == 200
        clock.move(61)
    driver: Any = client.suite.driver("cache")
    assert all(len(slot.value.tags) <= 1000 for slot in driver._cache.slots.values())


def test_code_tags_what_is_being_made(wrap: Wrap) -> None:
    """Also from within a body that is streamed; outside a request it means nothing."""
    suite = Suite()

    def body() -> Iterable[bytes]:
        yield b"one"
        suite.tag("late")
        yield b"two"

    def app(request: Request) -> Response:
        suite.tag("early", "other")
        return fresh(body=iter(body()))

    client = wrap(app, suite)
    suite.tag("nobody's")
    for tag, hit in (("early", False), ("late", False), ("nobody's", True)):
        client.ask()
        assert client.ask().cache.hit
        suite.purge(tag)
        assert client.ask().cache.hit == hit


@pytest.mark.parametrize("tags", [("",), (1,), (None,)])
def test_a_tag_that_cannot_be_is_refused(wrap: Wrap, tags: Any) -> None:
    suite = Suite()
    refused: list[BaseException] = []

    def app(request: Request) -> Response:
        with pytest.raises(SettingError) as caught:
            suite.tag(*tags)
        refused.append(caught.value)
        return fresh()

    wrap(app, suite).ask()
    assert len(refused) == 1
    with pytest.raises(SettingError):
        suite.purge(*tags)


TARGETS = ["/", "/a", "/a?b=1", "/a/b", "/ab", "/caf%C3%A9"]
OTHER = {"Host": "other.test"}


@pytest.mark.parametrize(
    ("what", "reached", "elsewhere"),
    [
        ({"urls": ["/a"]}, ["/a"], True),
        ({"urls": ["http://shop.test/a"]}, ["/a"], False),
        ({"urls": ["HTTP://SHOP.test:80/a?b=1"]}, ["/a?b=1"], False),
        ({"urls": ["https://shop.test/a"]}, ["/a"], False),
        ({"urls": ["http://shop.test:81/a"]}, [], False),
        ({"urls": ["/caf%C3%A9"]}, ["/caf%C3%A9"], False),
        ({"urls": ["/caf\xe9"]}, ["/caf%C3%A9"], False),
        ({"urls": ["/a", "/ab"]}, ["/a", "/ab"], True),
        ({"prefixes": ["/a"]}, ["/a", "/a?b=1", "/a/b", "/ab"], True),
        ({"prefixes": ["/a/"]}, ["/a/b"], False),
        ({"prefixes": ["http://shop.test/a"]}, ["/a", "/a?b=1", "/a/b", "/ab"], False),
        ({"prefixes": ["/"]}, TARGETS, True),
        ({"everything": True}, TARGETS, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("hard", [False, True])
def test_what_a_purge_reaches(
    wrap: Wrap, what: dict[str, Any], reached: list[str], elsewhere: bool, hard: bool
) -> None:
    client = wrap(numbered())
    for target in TARGETS:
        client.ask(target)
    client.ask("/a", OTHER)
    client.suite.purge(hard=hard, **what)
    assert [target for target in TARGETS if not client.ask(target).cache.hit] == reached
    assert client.ask("/a", OTHER).cache.hit is not elsewhere
    assert all(client.ask(target).cache.hit for target in TARGETS)


@pytest.mark.parametrize("raw", ["", "RAW_URI"])
def test_a_url_below_a_mount_point_is_purged_as_clients_know_it(raw: str) -> None:
    target = "/shop/caf%C3%A9"
    environ = environ_of(make_request(target))
    environ |= {"SCRIPT_NAME": "/shop", "PATH_INFO": environ["PATH_INFO"].removeprefix("/shop")}
    key = environ_key(environ | ({raw: target} if raw else {}))
    for purge in (Purge(urls=(target,)), Purge(prefixes=("/shop/",))):
        tags = Tags()
        tags.apply(purge)
        assert not tags.spares(key, ENTRY)


def test_a_url_too_long_to_be_kept_is_purged_too(wrap: Wrap) -> None:
    client = wrap(numbered())
    long = "/" + "x" * 3000
    for what in ({"urls": [long]}, {"urls": ["/a", long]}, {"prefixes": ["/x"]}):
        client.ask(long)
        assert client.ask(long).cache.hit
        client.suite.purge(**what)  # type: ignore[arg-type]
        assert not client.ask(long).cache.hit


def test_soft_asks_the_app_by_validators_and_hard_never_does(wrap: Wrap) -> None:
    for what in ({"urls": ["/"]}, {"prefixes": ["/"]}, {"everything": True}, {"tag": "song"}):
        for hard in (False, True):
            app = Script(fresh(ETAG, plan=Plan(tags=("song",))), Response(304, MINUTE), fresh())
            client = wrap(app)
            client.ask()
            named = [what["tag"]] if "tag" in what else []
            rest = {} if named else what
            client.suite.purge(*named, hard=hard, **rest)  # type: ignore[arg-type]
            if hard:
                client.ask()
                assert "if-none-match" not in app.last
            else:
                reply = client.ask()
                assert (reply.status, reply.cache.fwd_status) == (200, 304)
                assert client.ask().cache.hit


def test_a_soft_purge_after_a_hard_one_forgets_nothing(wrap: Wrap) -> None:
    app = Script(fresh(ETAG, plan=Plan(tags=("song",))), fresh(body=(b"new",)))
    client = wrap(app)
    client.ask()
    client.suite.purge("song", hard=True)
    client.suite.purge("song")
    assert client.ask().body == b"new"
    assert "if-none-match" not in app.last


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    "what", [{"urls": ["/"]}, {"prefixes": ["/"]}, {"everything": True}], ids=str
)
def test_what_is_being_made_is_reached_too(crowd: Wrap, what: dict[str, Any], hard: bool) -> None:
    gate = Gate()
    client = crowd(Script(fresh(body=parts(b"old", gate)), fresh(body=(b"new",))))

    def purge() -> None:
        client.suite.purge(hard=hard, **what)
        gate.open()

    purged = once(lambda: gate.arrivals == 1 and followers(client.suite) == 3, purge)
    got = replies(client.send_all([make_request()] * 4, meanwhile=purged))
    assert sorted(reply.body for reply in got) == [b"new"] * 3 + [b"old"]
    assert client.ask().body == b"new"


def test_a_validation_under_way_brings_back_nothing_that_was_purged(
    crowd: Wrap, clock: Clock
) -> None:
    gate = Gate()
    app = Script(
        fresh(ETAG, plan=Plan(tags=("song",))),
        Response(304, MINUTE, hold=gate),
        fresh(body=(b"new",)),
    )
    client = crowd(app)
    client.ask()
    clock.move(61)

    def purge() -> None:
        client.suite.purge("song", hard=True)
        gate.open()

    purged = once(lambda: gate.arrivals == 1 and followers(client.suite) == 3, purge)
    got = replies(client.send_all([make_request()] * 4, meanwhile=purged))
    assert sorted(reply.body for reply in got) == [b"new"] * 3 + [b"page"]
    assert client.ask().body == b"new"


def test_purges_need_something_to_purge() -> None:
    urls: list[dict[str, Any]] = [{"urls": ["a"]}, {"urls": ["http:/a"]}, {"prefixes": [""]}]
    nothing: list[dict[str, Any]] = [{}, {"hard": True}]
    for what in urls + nothing:
        with pytest.raises(SettingError):
            Suite().purge(**what)

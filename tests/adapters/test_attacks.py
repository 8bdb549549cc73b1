"""Attacks on the cache in every stack: no reply made for one request ever answers another.

Each row's app tells in its answer whatever of the request could matter, so that the app itself
says what each request must get. The control asks the same app, in the same run, for what may be
stored, and is answered from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import Struct

from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.testing.forms import make_request
from apsperf_mw.testing.harness import Client, WSGIClient
from apsperf_mw.testing.messages import Reply, Request, Response
from tests.adapters.stacks import STACKS, client_in

Headers = dict[str, str]
App = Callable[[Request], Response]
Ask = dict[str, Any]

MINUTE = "max-age=60"
TOLD = ("Host", "Authorization", "Cookie", "Origin", "User-Agent", "X-Bad", "Range", "X-A")


def told(request: Request, *more: str) -> list[bytes]:
    fields = [f"{name}={request.header(name)!r}" for name in (*TOLD, *more)]
    return [" ".join((request.method, request.target, *fields)).encode() + request.body]


def telling(control: str = MINUTE, *headers: tuple[str, str], **more: Any) -> App:
    """An app that tells what it was asked; its control is asked for at another URL."""
    fields = (("Content-Type", "text/html"), ("Cache-Control", control), *headers)

    def app(request: Request) -> Response:
        if request.target == "/control":
            return Response(200, (*fields[:1], ("Cache-Control", MINUTE)), told(request))
        return Response(200, fields, told(request), **more)

    return app


def echoing(name: str) -> App:
    """An app that obeys a field."""
    return lambda request: Response(200, (("Cache-Control", MINUTE),), told(request, name))


def reflecting(request: Request) -> Response:
    """An app that names the origin that asks, and does not say so in Vary."""
    allowed = ("Access-Control-Allow-Origin", request.header("Origin") or "*")
    return Response(200, (("Cache-Control", MINUTE), allowed), told(request))


def ruled(request: Request) -> Response:
    """An app that says nothing; the route bears a mark."""
    bad = request.header("X-Bad") is not None
    return Response(400 if bad else 200, (), told(request), plan=Plan(rule=rule("long")))


def silent(request: Request) -> Response:
    """An app that says nothing but its type, and serves a path with anything behind it."""
    kind = "text/css" if request.target == "/control.css" else "text/html"
    return Response(200, (("Content-Type", kind),), told(request))


def ranged(request: Request) -> Response:
    """An app that gives parts."""
    if request.header("Range") is None:
        return Response(200, (("Cache-Control", MINUTE),), [b"whole"])
    part = (("Cache-Control", MINUTE), ("Content-Range", "bytes 0-1/5"))
    return Response(206, part, [b"wh"])


def broken(length: int, *, raises: bool) -> App:
    """An app whose body ends too early; the control's does not."""

    def parts() -> Iterator[bytes]:
        yield b"half"
        if raises:
            raise RuntimeError("the app has died")

    def app(request: Request) -> Response:
        head = (("Cache-Control", MINUTE), ("Content-Length", str(length)))
        if request.target == "/control":
            return Response(200, head[:1], told(request))
        return Response(200, head if length else head[:1], parts())

    return app


class Attack(Struct):
    """The requests, asked in turn, twice; `hits` is how many of these the cache may answer."""

    name: str
    app: App
    asks: list[Ask]
    hits: int = 0
    settings: dict[str, Any] = {}
    control: str = "/control"
    dies: bool = False


def by(name: str, *values: str | None) -> list[Ask]:
    """Requests that differ in one field; None is without it."""
    return [{"headers": {} if value is None else {name: value}} for value in values]


def at(*targets: str) -> list[Ask]:
    """Requests that differ in their URL."""
    return [{"target": target} for target in targets]


FORWARDING = [
    "X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port",
    "X-Forwarded-Prefix", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL",
    "X-HTTP-Method-Override",
]  # fmt: skip
CREDENTIALS = ["X-API-Key", "X-Auth-Token", "Proxy-Authorization", "X-Remote-User"]
FORBIDDEN = [
    "Private, max-age=60", "max-age=60, NO-STORE", "no-cache", "s-maxage=0, max-age=60",
    "max-age=-1", "max-age=1e3", 'max-age=60, "', 'private="x-a", max-age=60', "max-age=0",
]  # fmt: skip
URLS = [
    ("/a?b=1", "/ab=1"), ("/?x=1;id=evil", "/?x=1", "/?x=1&id=evil"), ("/a%2Fb", "/a/b"),
    ("/caf%C3%A9", "/cafe%CC%81"), ("/%FF", "/%FE"), ("//x", "/x"), ("/%00", "/"),
    ("/a%3Fb", "/a?b"), ("/static/../account", "/account"), ("/A", "/a"), ("/x/", "/x"),
    ("/?a=1&b=2", "/?b=2&a=1"), ("/" + "a" * 3000, "/" + "a" * 2999 + "b"),
]  # fmt: skip
USER = {"Cookie": "session=victim"}
CSS = {"routes": [{"path": "/**.css", "ttl": "long"}]}
CONFUSED = ["/account/x.css", "/account;x.css", "/static/../account.css", "/account%3Fx.css"]

ATTACKS = [
    *[Attack(f"obeys {n}", echoing(n), by(n, "evil", None), hits=1) for n in FORWARDING],
    *[Attack(f"tells {n}", echoing(n), by(n, "victim", None, "other"), 1) for n in CREDENTIALS],
    Attack("host", telling(), by("Host", "evil.test", "shop.test", "shop.test:8080"), 3),
    Attack("two hosts in one", telling(), by("Host", "shop.test,evil.test", "shop.test"), 2),
    Attack("reflected origin", reflecting, by("Origin", "https://evil", "https://good")),
    Attack("authorization", telling(), by("Authorization", "Basic a", "Basic b")),
    Attack("anonymous before authorised", telling(), by("Authorization", None, "Basic b"), 1),
    Attack("cookie", telling(), by("Cookie", "session=a", "session=b")),
    Attack("anonymous before a cookie", telling(), by("Cookie", None, "session=b"), 1),
    Attack("cookie and Vary", telling(MINUTE, ("Vary", "Cookie")), by("Cookie", "a=1", "b=1")),
    Attack("cookie and a mark", ruled, by("Cookie", "session=a", "session=b")),
    *[
        Attack(
            f"Set-Cookie, {control}, {vary}",
            telling(control, ("Set-Cookie", "session=a"), *vary),
            by("X-A", "1", "2"),
        )
        for control in (MINUTE, "public, max-age=60", "s-maxage=60")
        for vary in ([], [("Vary", "Cookie")])
    ],
    Attack("Vary: *", telling(MINUTE, ("Vary", "X-A, *")), by("X-A", "1", "2")),
    Attack("absent and empty", telling(MINUTE, ("Vary", "X-A")), by("X-A", None, "", "1"), 3),
    Attack(
        "two Vary lines",
        telling(MINUTE, ("Vary", "X-A"), ("Vary", "User-Agent")),
        [*by("X-A", "1", "2"), *by("User-Agent", "1", "2")],
        4,
    ),
    *[Attack(control, telling(control), by("X-A", "1", "2")) for control in FORBIDDEN],
    Attack("Expires: 0", telling("public", ("Expires", "0")), by("X-A", "1", "2")),
    *[Attack(" ".join(pair)[:40], telling(), at(*pair), len(pair)) for pair in URLS],
    Attack("GET with a body", telling(), [{"body": b"evil"}, {}, {"body": b"other"}], 1),
    Attack("POST then GET", telling(), [{"method": "POST", "body": b"evil"}, {}]),
    Attack("part then whole", ranged, [{"headers": {"Range": "bytes=0-1"}}, {}], 2),
    Attack("the app dies", broken(0, raises=True), [{}], dies=True),
    Attack("a short body", broken(10, raises=False), [{}]),
    *[
        Attack(f"style {target}", silent, [{"target": target, "headers": USER}, {"target": target}],
               0, CSS, "/control.css")
        for target in CONFUSED
    ],
]  # fmt: skip


def expected(app: App, ask: Ask) -> tuple[int, bytes]:
    """What the app itself says to a request."""
    options = dict(ask)
    made = app(make_request(options.pop("target", "/"), options.pop("headers", {}), **options))
    body = b"".join(part for part in made.body if isinstance(part, bytes))
    return made.status, body


def works(client: Client, target: str) -> bool:
    """The control: what may be stored is answered from the cache."""
    client.ask(target)
    return client.ask(target).cache.hit


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_request_gets_its_own_answer(attack: Attack, stack: str) -> None:
    with client_in(stack, attack.app, **attack.settings) as client:
        hits = 0
        for ask in attack.asks * 2:
            if attack.dies:
                fails(client, ask)
                continue
            reply = client.ask(**ask)
            assert (reply.status, reply.body) == expected(attack.app, ask)
            hits += reply.cache.hit
        assert hits == attack.hits
        assert works(client, attack.control)


def fails(client: Client, ask: Ask) -> None:
    """The app's exception goes through, or its body ends."""
    with pytest.raises(RuntimeError, match="the app has died"):
        client.ask(**ask)
    assert len(client.suite.responses.flights) == 0


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_head_never_becomes_the_get(stack: str) -> None:
    with client_in(stack, telling()) as client:
        client.ask(method="HEAD")
        assert client.ask().body.startswith(b"GET / ")
        head = client.ask(method="HEAD")
        assert (head.cache.hit, head.body) == (True, b"")


@pytest.mark.parametrize("value", ["\x7f", "x" * 8192])
def test_an_error_by_a_poisoned_field_is_for_its_sender(stack: str, value: str) -> None:
    with client_in(stack, ruled) as client:
        assert client.ask(headers={"X-Bad": value}).status == 400
        assert (client.ask().status, client.ask().cache.hit) == (200, True)


def test_a_flood_of_agents_leaves_64_variants(stack: str) -> None:
    with client_in(stack, telling(MINUTE, ("Vary", "User-Agent"))) as client:
        for number in range(70):
            client.ask(headers={"User-Agent": f"agent {number}"})
        hits = [client.ask(headers={"User-Agent": f"agent {n}"}).cache.hit for n in (69, 6, 5, 0)]
        assert hits == [True, True, False, False]


def test_absurd_lifetimes_are_clamped(stack: str) -> None:
    with client_in(stack, telling("max-age=" + "9" * 22)) as client:
        client.ask()
        reply = client.ask()
        assert (reply.status, reply.cache.hit) == (200, True)
        assert reply.cache.ttl_s is not None
        assert reply.cache.ttl_s <= 2**31


@pytest.mark.parametrize("headers", [{"Cache-Control": "no-cache"}, {"Pragma": "no-cache"}])
def test_a_client_cannot_make_the_app_work(stack: str, headers: Headers) -> None:
    with client_in(stack, telling()) as client:
        client.ask()
        assert client.ask(headers=headers).cache.hit
        assert client.calls == 1


def test_doubled_fields_come_back_as_they_were_and_those_of_the_hop_do_not(stack: str) -> None:
    doubled = [("Link", "<b>"), ("Link", "<a>"), ("X-Hop", "1"), ("Connection", "x-hop")]
    with client_in(stack, telling(MINUTE, *doubled)) as client:
        first, hit = client.ask(), client.ask()
        assert hit.cache.hit
        assert hit.lines("link") == first.lines("link")
        assert (hit.lines("x-hop"), hit.lines("connection")) == ([], [])


def test_long_urls_and_fields_do_no_harm(stack: str) -> None:
    with client_in(stack, telling(MINUTE, ("Vary", "X-A"))) as client:
        replies: list[Reply] = [client.ask("/?" + "x" * 65_536)]
        replies += [
            client.ask(headers={name: "x," * 32_768}) for name in ("X-A", "Range", "Cookie")
        ]
        replies.append(client.ask(headers=[("X-A", "x")] * 10_000))
        assert {reply.status for reply in replies} == {200}
        assert works(client, "/control")


@pytest.mark.parametrize("stack", ["wsgi", "flask", "django-wsgi"])
@pytest.mark.parametrize("name", ["REMOTE_USER", "AUTH_TYPE", "SSL_CLIENT_S_DN"])
def test_whom_the_wsgi_server_has_let_in_goes_round_the_cache(stack: str, name: str) -> None:
    with client_in(stack, telling("public, max-age=60")) as client:
        assert works(client, "/control")
        assert isinstance(client, WSGIClient)
        plain = client.environ
        client.environ = lambda request: plain(request) | {name: "alice"}  # type: ignore[method-assign]
        assert client.ask("/control").cache.detail == "credential"

"""No response reaches somebody whom it is not for: the security rows, each with its control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apsperf_mw.asgi import ASGIShell
from apsperf_mw.cache.policy import Plan, rule
from apsperf_mw.testing.forms import environ_of, make_request
from apsperf_mw.testing.harness import Client, WSGIClient
from apsperf_mw.testing.messages import Request, Response
from tests.core.support import fresh

Wrap = Callable[..., Client]
Headers = dict[str, str]

A, B = {"Authorization": "Basic a"}, {"Authorization": "Basic b"}
COOKIE_A, COOKIE_B = {"Cookie": "session=a"}, {"Cookie": "session=b"}


def personal(
    control: str = "max-age=60", *headers: tuple[str, str]
) -> Callable[[Request], Response]:
    """Tells who asks, whatever the means."""

    def app(request: Request) -> Response:
        who = [request.header(name) for name in ("Authorization", "Cookie", "X-Api-Key")]
        return Response(200, (("Cache-Control", control), *headers), [repr(who).encode()])

    return app


def works(client: Client, target: str = "/control") -> bool:
    """The control: for an anonymous request the same app is cached."""
    client.ask(target)
    return client.ask(target).cache.hit


# Authorization (RFC 9111 §3.5)


def test_a_page_for_one_authorised_user_is_for_nobody_else(wrap: Wrap) -> None:
    client = wrap(personal())
    for headers in (A, B, {}, A, B):
        assert client.ask(headers=headers).body == client.answer(request_with(headers)).body[0]  # type: ignore[index]
    assert not client.ask(headers=A).cache.hit
    assert client.ask(headers=A).cache.detail == "guarded"
    assert works(client)


def request_with(headers: Headers) -> Request:
    return make_request("/", headers)


def test_an_anonymous_entry_is_not_for_an_authorised_request(wrap: Wrap) -> None:
    client = wrap(personal())
    client.ask()
    assert client.ask().cache.hit
    assert b"Basic a" in client.ask(headers=A).body
    assert client.ask().body == b"[None, None, None]"


@pytest.mark.parametrize("headers", [A, COOKIE_A])
def test_an_anonymous_entry_does_not_answer_a_users_head(wrap: Wrap, headers: Headers) -> None:
    client = wrap(personal())
    client.ask()
    assert client.ask(method="HEAD").cache.hit
    assert not client.ask(headers=headers, method="HEAD").cache.hit
    assert client.calls == 2


@pytest.mark.parametrize(
    "control", ["max-age=60, public", "s-maxage=60", "max-age=60, must-revalidate"]
)
def test_what_the_rfc_opens_to_authorised_requests(wrap: Wrap, control: str) -> None:
    client = wrap(personal(control))
    assert client.ask(headers=A).cache.stored
    assert client.ask(headers=B).cache.hit
    assert client.ask().cache.hit


# Cookies


def test_a_page_with_a_cookie_is_for_nobody_else(wrap: Wrap) -> None:
    client = wrap(personal())
    for headers in (COOKIE_A, COOKIE_B, {}):
        assert repr(headers.get("Cookie")).encode() in client.ask(headers=headers).body
    assert not client.ask(headers=COOKIE_A).cache.hit
    assert client.ask().body == b"[None, None, None]"
    assert works(client)


@pytest.mark.parametrize("vary", ["Cookie", "Accept"])
def test_vary_does_not_open_a_page_with_a_cookie(wrap: Wrap, vary: str) -> None:
    client = wrap(personal("max-age=60", ("Vary", vary)))
    client.ask(headers=COOKIE_A)
    assert not client.ask(headers=COOKIE_A).cache.hit
    assert works(client)


@pytest.mark.parametrize("control", ["max-age=60, public", "s-maxage=60"])
def test_what_the_response_opens_to_cookies(wrap: Wrap, control: str) -> None:
    client = wrap(personal(control))
    assert client.ask(headers=COOKIE_A).cache.stored
    assert client.ask(headers=COOKIE_B).cache.hit


def test_what_the_route_or_the_settings_open_to_cookies(wrap: Wrap) -> None:
    shared = Plan(rule=rule("short", shared=True))
    client = wrap(lambda _: Response(body=[b"page"], plan=shared))
    assert client.ask(headers=COOKIE_A).cache.stored
    assert client.ask(headers=COOKIE_B).cache.hit
    assert not client.ask(headers={**COOKIE_B, **A}).cache.hit
    client = wrap(personal(), share_with_cookie=True)
    assert client.ask(headers=COOKIE_A).cache.stored
    assert client.ask(headers=COOKIE_B).cache.hit


@pytest.mark.parametrize(
    ("cookie", "counts"),
    [
        ("_ga=1", False),
        ("_ga=1; _gid=2", False),
        ("_gid", False),
        (" ; _ga=1 ;", False),
        ("", False),
        ("_ga=1; session=a", True),
        ("session=a; _ga=1", True),
        ("_GA=1", True),
        ("_ga2=1", True),
        ('_ga="x; session=a"', True),
    ],
)
def test_cookies_that_do_not_count(wrap: Wrap, cookie: str, counts: bool) -> None:
    client = wrap(lambda _: fresh(), ignore_cookies=["_ga", "_gid"])
    client.ask()
    assert client.ask(headers={"Cookie": cookie}).cache.hit is not counts


def test_by_default_every_cookie_counts(wrap: Wrap) -> None:
    client = wrap(personal())
    client.ask()
    assert not client.ask(headers={"Cookie": "_ga=1"}).cache.hit


@pytest.mark.parametrize("control", ["max-age=60", "max-age=60, public", "s-maxage=60"])
@pytest.mark.parametrize("extra", [[], [("Vary", "Cookie")], [("Vary", "Set-Cookie")]])
def test_a_response_that_sets_a_cookie_is_not_stored(
    wrap: Wrap, control: str, extra: list[tuple[str, str]]
) -> None:
    headers = [("Cache-Control", control), ("Set-Cookie", "session=a"), *extra]
    client = wrap(
        lambda r: Response(200, tuple(headers if r.target == "/" else headers[:1]), [b"page"])
    )
    for _ in range(2):
        reply = client.ask()
        assert (reply.cache.hit, reply.cache.detail) == (False, "set-cookie")
        assert reply.header("set-cookie") == "session=a"
    assert works(client)


# Other credentials


@pytest.mark.parametrize(
    "name",
    [
        "X-Api-Key",
        "x-auth-token",
        "X-Access-Token",
        "X-CSRF-Token",
        "X-Amz-Security-Token",
        "Proxy-Authorization",
    ],
)
def test_credentials_go_round_the_cache(wrap: Wrap, name: str) -> None:
    client = wrap(personal("max-age=60, public"))
    assert works(client)
    reply = client.ask("/control", {name: "secret"})
    assert (reply.cache.fwd, reply.cache.detail) == ("bypass", "credential")
    client.ask("/cold", {name: "secret"})
    assert not client.ask("/cold").cache.hit


def test_the_list_of_credentials_is_a_setting(wrap: Wrap) -> None:
    client = wrap(personal(), credential_headers=["X-Secret"])
    assert works(client)
    assert not client.ask("/control", {"x-secret": "1"}).cache.hit
    assert client.ask("/control", {"X-Auth-Token": "1"}).cache.hit


@pytest.mark.parametrize(
    ("name", "value", "counts"),
    [
        ("REMOTE_USER", "alice", True),
        ("AUTH_TYPE", "Basic", True),
        ("SSL_CLIENT_S_DN", "CN=alice", True),
        ("SSL_CLIENT_VERIFY", "SUCCESS", True),
        ("SSL_CLIENT_VERIFY", "NONE", False),
        ("REMOTE_USER", "", False),
        ("REMOTE_USER", None, False),
    ],
)
def test_a_user_whom_the_wsgi_server_let_in(name: str, value: str | None, counts: bool) -> None:
    from apsperf_mw import Suite

    class Server(WSGIClient):
        extra: dict[str, Any] = {}

        def environ(self, request: Request) -> dict[str, Any]:
            return super().environ(request) | self.extra

    client = Server(Suite(), lambda _: fresh())
    client.ask()
    client.extra = {name: value}
    assert client.ask().cache.hit is not counts


# What the response forbids


@pytest.mark.parametrize(
    "control",
    [
        "private, max-age=60",
        "PRIVATE, max-age=60",
        'private="set-cookie", max-age=60',
        "no-store, max-age=60",
        "No-Store",
        "no-cache, max-age=60",
        "s-maxage=0, max-age=60",
        "max-age=0",
        "max-age=x",
        'max-age=60, "',
    ],
)
def test_what_forbids_storing(wrap: Wrap, control: str) -> None:
    client = wrap(
        lambda r: Response(
            200, (("Cache-Control", control if r.target == "/" else "max-age=60"),), [b"page"]
        )
    )
    assert not client.ask().cache.stored
    assert not client.ask().cache.hit
    assert works(client)


def test_a_plan_marked_private_is_not_stored(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(plan=Plan(private=r.target == "/")))
    assert client.ask().cache.detail == "private"
    assert not client.ask().cache.hit
    assert works(client)


# Parts, preconditions and bodies


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"If-Match": '"v"'}, "precondition"),
        ({"If-Unmodified-Since": "Wed, 01 Jan 2025 00:00:00 GMT"}, "precondition"),
        ({"Content-Length": "1"}, "body"),
        ({"Content-Length": "+0"}, "body"),
        ({"Transfer-Encoding": "chunked"}, "body"),
    ],
)
def test_requests_that_go_round_the_cache(wrap: Wrap, headers: Headers, detail: str) -> None:
    client = wrap(lambda _: fresh())
    for method in ("GET", "HEAD"):
        reply = client.ask(headers=headers, method=method)
        assert (reply.cache.fwd, reply.cache.detail) == ("bypass", detail)
    assert not client.ask().cache.hit
    assert client.ask().cache.hit
    assert not client.ask(headers=headers).cache.hit


def test_content_length_zero_is_no_body(wrap: Wrap) -> None:
    client = wrap(lambda _: fresh())
    client.ask(headers={"Content-Length": "0"})
    assert client.ask(headers={"Content-Length": "0"}).cache.hit


def test_a_part_is_never_given_as_the_whole(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        if request.header("range"):
            part = (("Cache-Control", "max-age=60"), ("Content-Range", "bytes 0-1/4"))
            return Response(206, part, [b"pa"])
        return fresh()

    client = wrap(app)
    assert client.ask(headers={"Range": "bytes=0-1"}).body == b"pa"
    assert client.ask().body == b"page"
    assert client.ask(headers={"Range": "bytes=0-1"}).status == 206
    assert client.ask().body == b"page"


def test_a_206_nobody_asked_for_is_not_stored(wrap: Wrap) -> None:
    client = wrap(lambda _: fresh(("Content-Range", "bytes 0-1/4"), status=206, body=[b"pa"]))
    assert not client.ask().cache.stored
    assert not client.ask().cache.hit


def test_a_get_with_a_body_does_not_poison_the_one_without(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(body=[r.body or b"none"]))
    assert client.ask(body=b"evil").body == b"evil"
    assert client.ask().body == b"none"
    assert client.ask(body=b"evil").body == b"evil"
    assert client.ask().cache.hit


# Forwarding fields

FORWARDING = [
    "X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port",
    "X-Forwarded-Prefix", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL",
    "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "Front-End-Https",
    "X-Script-Name", "X-Forwarded-Server", "X-Url-Scheme",
]  # fmt: skip


@pytest.mark.parametrize("name", FORWARDING)
def test_a_forwarding_field_goes_round_the_cache(wrap: Wrap, name: str) -> None:
    client = wrap(lambda r: fresh(body=[str(r.header(name)).encode()]))
    evil = client.ask(headers={name: "evil.test"})
    assert (evil.body, evil.cache.fwd, evil.cache.detail) == (b"evil.test", "bypass", "forwarded")
    assert client.ask().body == b"None"
    assert client.ask(headers={name: "evil.test"}).body == b"evil.test"
    assert client.ask().cache.hit


def test_a_trusted_forwarding_field_does_not_matter(wrap: Wrap) -> None:
    client = wrap(lambda _: fresh(), trusted_headers=["X-Forwarded-Proto"])
    client.ask(headers={"X-Forwarded-Proto": "https"})
    assert client.ask(headers={"X-Forwarded-Proto": "https"}).cache.hit
    assert not client.ask(headers={"X-Forwarded-Host": "evil.test"}).cache.hit


def test_a_keyed_forwarding_field_has_its_own_entries(wrap: Wrap) -> None:
    app = lambda r: fresh(body=[str(r.header("x-forwarded-host")).encode()])  # noqa: E731
    client = wrap(app, key_headers=["X-Forwarded-Host"])
    for _ in range(2):
        for host in ("a.test", "b.test"):
            assert client.ask(headers={"X-Forwarded-Host": host}).body == host.encode()
        assert client.ask().body == b"None"
    assert client.calls == 3


# Keys


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("/a?b=1", "/ab=1"),
        ("/a?b=1", "/a?b=2"),
        ("/a?b=1&c=2", "/a?c=2&b=1"),
        ("/?x=1;id=evil", "/?x=1&id=evil"),
        ("/?x=1;id=evil", "/?x=1"),
        ("/a%2Fb", "/a/b"),
        ("/caf%C3%A9", "/cafe%CC%81"),
        ("/%FF", "/%FE"),
        ("//x", "/x"),
        ("/x/", "/x"),
        ("/%00", "/"),
        ("/a%3Fb", "/a?b"),
        ("/a%20b", "/a+b"),
        ("/static/../account", "/account"),
        ("/account;x.css", "/account/x.css"),
        ("/account%0a.css", "/account.css"),
        ("/A", "/a"),
        ("/a%2fb", "/a%2Fb"),
        ("/" + "a" * 3000, "/" + "a" * 2999 + "b"),
        ("/?" + "a" * 3000, "/a?" + "a" * 2999),
    ],
)
def test_urls_that_differ_have_their_own_entries(wrap: Wrap, one: str, two: str) -> None:
    client = wrap(lambda r: fresh(body=[r.target.encode()]))
    for _ in range(2):
        for target in (one, two):
            assert client.ask(target).body == target.encode()
    assert client.ask(one).cache.hit
    assert client.ask(two).cache.hit
    assert client.calls == 2


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("shop.test", "SHOP.test", True),
        ("shop.test", "shop.test:80", True),
        ("shop.test", "shop.test:443", False),
        ("shop.test", "shop.test:8080", False),
        ("shop.test", "evil.test", False),
        ("shop.test", "shop.test.", False),
        ("[::1]:80", "[::1]", True),
        ("shop.test, evil.test", "shop.test", False),
    ],
)
def test_hosts(wrap: Wrap, one: str, two: str, same: bool) -> None:
    client = wrap(lambda _: fresh())
    client.ask(headers={"Host": one})
    assert client.ask(headers={"Host": one}).cache.hit
    assert client.ask(headers={"Host": two}).cache.hit is same


def test_schemes_have_their_own_entries(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(body=[r.scheme.encode()]))
    for _ in range(2):
        for scheme in ("http", "https"):
            assert client.ask(scheme=scheme).body == scheme.encode()
    assert client.ask(scheme="https", headers={"Host": "shop.test:443"}).cache.hit
    assert not client.ask(scheme="https", headers={"Host": "shop.test:80"}).cache.hit


@pytest.mark.parametrize("first", ["evil.test", "shop.test", ""])
def test_two_hosts_go_round_the_cache(first: str) -> None:
    from apsperf_mw import Suite
    from apsperf_mw.testing.harness import ASGIClient

    client = ASGIClient(Suite(), lambda r: fresh(body=[r.headers[0][1].encode()]))
    assert isinstance(client.shell, ASGIShell)
    reply = client.ask(headers=[("Host", first), ("Host", "shop.test")])
    assert reply.cache.detail == "host"
    assert client.ask().body == b"shop.test"


def test_a_request_without_a_host_is_served(wrap: Wrap) -> None:
    client = wrap(lambda _: fresh())
    request = Request()
    client.send(request)
    assert client.send(request).cache.hit


def test_wsgi_servers_that_give_no_raw_target() -> None:
    """Then the app sees the decoded path alone, so that is what makes the key."""
    from apsperf_mw import Suite

    client = WSGIClient(Suite(), lambda r: fresh(body=[r.target.encode("latin-1")]), raw_uri="")
    for target in ("/a?b=1", "/ab=1", "/%FF", "/%FE", "//x", "/x", "/caf%C3%A9", "/cafe%CC%81"):
        assert client.ask(target).body == client.ask(target).body
        assert client.ask(target).cache.hit
    assert client.calls == 8
    assert "RAW_URI" not in environ_of(make_request())


# Errors, CORS, floods


@pytest.mark.parametrize("status", [400, 403, 405, 431, 500, 502, 503])
def test_errors_that_say_nothing_are_not_stored(wrap: Wrap, status: int) -> None:
    client = wrap(lambda r: Response(status if r.header("x-bad") else 200, (), [b"page"],
                                     plan=Plan(rule=rule("long"))))  # fmt: skip
    assert client.ask(headers={"X-Bad": "\x7f" * 100}).status == status
    assert client.ask().status == 200
    assert client.ask().cache.hit


def test_an_error_that_asks_for_it_is_kept_for_seconds(wrap: Wrap, clock: Any) -> None:
    client = wrap(lambda _: fresh(status=503))
    client.ask()
    assert client.ask().cache.ttl_s == 10
    clock.move(10)
    assert not client.ask().cache.hit


def test_a_reflected_origin_is_not_stored(wrap: Wrap) -> None:
    def app(request: Request) -> Response:
        origin = request.header("origin") or "*"
        vary = [("Vary", "Origin")] if request.target == "/keyed" else []
        return fresh(("Access-Control-Allow-Origin", origin), *vary)

    client = wrap(app)
    evil, good = {"Origin": "https://evil.test"}, {"Origin": "https://good.test"}
    assert client.ask(headers=evil).cache.detail == "cors"
    assert client.ask(headers=good).header("access-control-allow-origin") == good["Origin"]
    for headers in (evil, good):
        client.ask("/keyed", headers)
        hit = client.ask("/keyed", headers)
        assert (hit.cache.hit, hit.header("access-control-allow-origin")) == (
            True,
            headers["Origin"],
        )
    assert works(client)


def test_a_split_response_is_not_stored(wrap: Wrap) -> None:
    client = wrap(lambda r: fresh(*([("X-A", "1\r\nSet-Cookie: a=1")] if r.target == "/" else [])))
    assert not client.ask().cache.stored
    assert not client.ask().cache.hit
    assert works(client)


@pytest.mark.parametrize(
    "headers",
    [
        {"Pragma": "no-cache"},
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "no-store, max-age=0"},
    ],
)
def test_a_client_cannot_make_the_app_work(wrap: Wrap, headers: Headers) -> None:
    client = wrap(lambda _: fresh())
    client.ask()
    assert client.ask(headers=headers).cache.hit


@pytest.mark.parametrize("name", ["Vary-Me", "Cookie", "Range", "If-None-Match", "Accept"])
def test_long_and_many_fields_do_no_harm(wrap: Wrap, name: str) -> None:
    client = wrap(lambda _: fresh(("Vary", "Vary-Me")))
    assert client.ask(headers={name: "x," * 32_768}).status == 200
    assert client.ask(headers=[(name, "x")] * 10_000).status == 200
    assert client.ask("/" + "x" * 65_536).status == 200
    assert works(client)

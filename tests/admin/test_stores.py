"""Drivers and the user's data, asked about at the endpoint and by the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from apsperf_mw import Suite
from apsperf_mw.testing.dicts import AsyncDictDriver, DictDriver
from tests.admin.support import ADMIN, BASE, BEARER, ROOT, TOKEN, client_of, serving, told
from tests.admin.test_cli_admin import ON, UVICORN, failed, invoke, printed

DAY = {"on": date(2026, 3, 1), "at": (1, 2)}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Suite]:
    """A suite on a file driver that this directory's settings name `shop`."""
    url = f"file://{tmp_path}/cache"
    Path("apsperf.toml").write_text(f'[drivers]\nshop = "{url}"\n')
    suite = Suite(exporter={"kind": "none"}, memory={"enabled": False})
    yield suite
    suite.close()


def asked(client: Any, **fields: Any) -> dict[str, Any]:
    reply = client.ask(f"{BASE}/data", BEARER, method="POST", body=json.dumps(fields).encode())
    return told(reply)


def test_the_endpoint_tells_of_all_drivers(shell: str) -> None:
    client = client_of(shell, drivers={"bad": "file:///proc/none?token=hunter2"})
    rows = {each["name"]: each for each in told(client.ask(f"{BASE}/drivers", BEARER))["drivers"]}
    assert rows["memory"]["health"] == "ok, in this process"
    assert rows["memory"]["source"] == "settings"
    assert rows["memory"]["entries"] == 0
    assert rows["file"]["health"] == "not opened: it takes a URL"
    assert rows["bad"]["health"].startswith("DriverError")
    assert "hunter2" not in json.dumps(rows)


def test_a_driver_that_is_broken_or_registered_is_told(shell: str) -> None:
    client = client_of(shell)
    driver = DictDriver()
    driver.broken = OSError("redis://me:hunter2@host is gone")
    client.suite.registry.register("theirs", lambda _: driver)
    if shell == "asgi":
        client.suite.registry.register("loops", lambda _: AsyncDictDriver())
    rows = {each["name"]: each for each in told(client.ask(f"{BASE}/drivers", BEARER))["drivers"]}
    assert rows["theirs"]["source"] == "registered"
    assert rows["theirs"]["health"] == "OSError: redis://me:***@host is gone"
    assert shell == "wsgi" or rows["loops"]["health"] == "ok, in this process"


def test_the_endpoint_reads_and_voids_the_users_data(shell: str) -> None:
    client = client_of(shell)
    cache = client.suite.cache(space="carts")
    cache.set("a", DAY, 60, tags="t")
    got = asked(client, space="carts", get="a")
    assert (got["found"], got["value"]) == (True, {"on": "2026-03-01", "at": [1, 2]})
    assert not asked(client, get="a")["found"]
    assert asked(client, space="carts", invalidate=["t"])["invalidated"] == ["t"]
    assert cache.get("a") is None
    cache.set("a", {(1, 2): 3}, 60)
    assert asked(client, space="carts", get="a")["value"] == {"(1, 2)": 3}
    asked(client, space="carts", clear=True)
    assert cache.get("a") is None
    stats = told(client.ask(f"{BASE}/stats", BEARER))
    assert stats["data"]["memory carts"]["misses"] >= 2


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b'{"get": 1}', b'{"clear": true, "get": "a"}', b'{"x": 1}']
)
def test_another_body_is_refused(shell: str, body: bytes) -> None:
    reply = client_of(shell).ask(f"{BASE}/data", BEARER, method="POST", body=body)
    assert told(reply, 400)["error"].endswith("a list of tags)")


def test_an_unknown_driver_is_refused(shell: str) -> None:
    body = b'{"driver": "nosuch", "clear": true}'
    reply = client_of(shell).ask(f"{BASE}/data", BEARER, method="POST", body=body)
    assert "not known; known: file, memory" in told(reply, 409)["error"]


def test_drivers_are_listed_from_the_settings(shop: Suite) -> None:
    rows = {each["name"]: each for each in printed("drivers")["drivers"]}
    assert rows["shop"]["health"] == "ok"
    assert rows["shop"]["shared"]
    assert rows["shop"]["round_trip_ms"] > 0
    lines = invoke("drivers").stdout.splitlines()
    assert lines[0].split() == ["name", "source", "url", "health", "ms", "entries", "bytes", "hits"]
    assert re.search(
        r"^shop +settings +file:///\S+ +ok +[\d.]+ +\d+ +\d+ +-$", "\n".join(lines), re.MULTILINE
    )


def test_a_driver_that_does_not_answer_ends_it_with_one() -> None:
    Path("apsperf.toml").write_text('[drivers]\nbad = "nosuch://me:hunter2@host/"\n')
    result = invoke("drivers")
    assert result.exit_code == 1
    assert "a driver does not answer" in result.stderr
    assert "hunter2" not in result.output


def test_a_shared_driver_is_reached_from_here(shop: Suite) -> None:
    cache = shop.cache("shop", space="carts")
    where = ("--driver", "shop", "--space", "carts")
    cache.set("a", DAY, 60, tags="t")
    assert printed("cache", "get", "a", *where)["value"] == {"on": "2026-03-01", "at": [1, 2]}
    assert invoke("cache", "get", "a", *where).stdout == '{"on":"2026-03-01","at":[1,2]}\n'
    cache.set("text", "hé", 60)
    assert invoke("cache", "get", "text", *where).stdout == "hé\n"
    assert printed("cache", "stats", "--driver", "shop")["entries"] > 0
    assert printed("cache", "invalidate", "t", "u", *where)["invalidated"] == ["t", "u"]
    assert cache.get("a") is None
    assert invoke("cache", "clear", *where).stdout == "cleared: space 'carts'\n"
    assert cache.get("text") is None
    assert "nothing is kept under this key" in failed("cache", "get", "a", *where, code=1)


def test_what_only_a_frameworks_codec_knows_is_shown_as_bytes(shop: Suite) -> None:
    from apsperf_mw.data.cache import DataCache
    from apsperf_mw.data.values import AnyValues, Kind

    class Safe(str):
        __slots__ = ()

    values = AnyValues({Safe: Kind(64, str.encode, lambda raw: Safe(raw.decode()))})
    DataCache(shop.caches.stock("shop", ""), values).set("a", [Safe("x")], 60)
    assert invoke("cache", "get", "a", "--driver", "shop").exit_code == 0


def test_where_no_store_is_reached_it_says_why() -> None:
    for args in (["get", "a"], ["clear"], ["invalidate", "t"], ["stats"]):
        said = failed("cache", *args)
        assert "--server: not given; accepted: http://host:port of a running app" in said
        assert "in the memory of its processes" in said
    assert "not known; known: file, memory" in failed("cache", "clear", "--driver", "nosuch")
    assert "--driver: not together with --server" in failed(
        "cache", "stats", "--driver", "memory", "--server", "http://127.0.0.1:1"
    )
    assert "Missing argument" in failed("cache", "invalidate")


def test_a_broken_store_ends_it_with_two(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no directory")
    Path("apsperf.toml").write_text(f'[drivers]\nshop = "file://{tmp_path}/cache"\n')
    assert "Error: " in failed("cache", "get", "a", "--driver", "shop")


def test_a_running_app_is_asked() -> None:
    with serving(UVICORN, Path.cwd(), **ON) as port:
        where = ("--server", f"http://127.0.0.1:{port}", "--token", TOKEN)
        rows = {each["name"]: each for each in printed("drivers", *where)["drivers"]}
        assert rows["memory"]["health"] == "ok, in this process"
        assert "nothing is kept" in failed("cache", "get", "a", *where, code=1)
        assert invoke("cache", "clear", *where).stdout == "cleared: space ''\n"
        assert printed("cache", "invalidate", "t", *where)["invalidated"] == ["t"]
        assert printed("cache", "purge", "--all", *where)["purged"]["everything"]


def test_the_endpoint_of_a_django_project_reaches_the_same() -> None:
    from tests.adapters import django_site

    for is_async in (False, True):
        with django_site.make(is_async=is_async, admin=ADMIN) as site:
            assert site.suite is not None
            site.suite.cache(space="carts").set("a", 5, 60)
            assert asked(site, space="carts", get="a")["value"] == 5
            rows = told(site.ask(f"{BASE}/drivers", BEARER))["drivers"]
            assert "memory" in {each["name"] for each in rows}

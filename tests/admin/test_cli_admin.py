"""The commands that reach an app's store, or say why they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

from apsperf_mw import Suite
from apsperf_mw.cli import main
from tests.admin.support import ROOT, TOKEN, serving, until
from tests.admin.test_workers import GUNICORN, WORKERS, pages
from tests.apps.servers import Case, ask
from tests.warm.support import BARE

UVICORN = "uvicorn --host=127.0.0.1 --port=0 --no-access-log tests.warm.support:asgi --lifespan=off"
ON = {"APSPERF_ADMIN__ENABLED": "true", "APSPERF_ADMIN__TOKEN": TOKEN}


def invoke(*args: str) -> Result:
    make: Any = CliRunner
    apart = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    result: Result = make(**apart).invoke(main, args, catch_exceptions=False)
    return result


def printed(*args: str) -> Any:
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def failed(*args: str, code: int = 2) -> str:
    result = invoke(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    return result.stderr


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def server(place: Path) -> Iterator[str]:
    with serving(UVICORN, Path.cwd(), **ON) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_purge_is_written_for_the_workers_of_this_directory(place: Path) -> None:
    with serving(GUNICORN, Path.cwd()) as port:
        before = pages(port)
        told = printed("purge", "--tag", "song")
        assert told["purged"]["tags"] == ["song"]
        assert told["reached"].startswith("the workers of this host that serve with it")
        until(lambda: all(pages(port)[pid] != number for pid, number in before.items()))
        assert len(before) == WORKERS
        again = pages(port)
        said = invoke("purge", "--app", "tests.admin.workers:wsgi", "--all", "--hard").stdout
        assert said.startswith(f"written to {place}")
        assert "how many there are is not known from here" in said
        until(lambda: all(pages(port)[pid] != number for pid, number in again.items()))


CAPTURED: Any = {"capture_output": True, "text": True}


def page(port: int) -> bytes:
    return urlopen(f"http://127.0.0.1:{port}/page", timeout=10).read()  # type: ignore[no-any-return]


@pytest.mark.parametrize("app", [(), ("--app", "tests.admin.workers:wsgi")])
def test_a_purge_reaches_all_that_share_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: tuple[str, ...]
) -> None:
    store = f"file://{tmp_path}/store"
    monkeypatch.setenv("APSPERF_CACHE__DRIVER", store)
    with serving(GUNICORN, Path.cwd(), APSPERF_CACHE__DRIVER=store) as port:
        (made,) = {page(port) for _ in range(20)}  # what one made, the others serve
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = [sys.executable, "-c", "from apsperf_mw.cli import main; main()", "purge"]
        tagged = [*run, "--tag", "song", "--json", *app]
        one = subprocess.run(tagged, check=True, env=env, **CAPTURED)
        assert json.loads(one.stdout)["reached"] == "all that share the store"
        until(lambda: made not in {page(port) for _ in range(20)})
        every = subprocess.run([*run, "--all", *app], check=True, env=env, **CAPTURED)
        assert every.stdout == "purged for all that share the store\n"


def test_a_purge_that_the_store_does_not_take_ends_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APSPERF_CACHE__DRIVER", "redis://127.0.0.1:1")
    assert failed("purge", "--tag", "song").startswith("Error: nothing is purged: ")


def test_a_purge_where_nobody_serves_reaches_nothing() -> None:
    said = failed("purge", "--tag", "song")
    assert "nothing is reached: no worker has served a request with" in said
    assert "accepted: --app module:attribute, --server http://host:port" in said


def test_a_purge_by_a_file_that_is_not_there_or_not_ours(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / f"apsperf-{os.geteuid()}").symlink_to(place)
    assert "this user alone" in failed("purge", "--all")
    monkeypatch.setenv("APSPERF_CACHE__PURGE_FILE", "none")
    assert "cache.purge_file is none" in failed("purge", "--all")
    monkeypatch.setenv("APSPERF_CACHE__PURGE_FILE", str(place))
    assert "nothing is purged" in failed("purge", "--all")


def test_a_purge_of_nothing_or_of_what_cannot_be() -> None:
    assert "nothing named" in failed("purge")
    assert "accepted: non-empty strings" in failed("purge", "--tag", "")
    assert "accepted: http://host/path or /path" in failed("purge", "--url", "x")


def test_settings_that_are_wrong_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APSPERF_ADMIN__TOKEN", "short")
    for args in (["purge", "--all"], ["cache", "stats", "--server", "http://127.0.0.1:1"]):
        said = failed(*args)
        assert "admin.token" in said
        assert "short" not in said


def test_a_server_is_asked(server: str) -> None:
    port = int(server.rpartition(":")[2])
    where = ("--server", server, "--token", TOKEN)
    ask(port, Case("/a"))
    stats = printed("cache", "stats", *where)
    assert stats["entries"] == 1
    assert f"pid         {stats['pid']}" in invoke("cache", "stats", *where).stdout
    explained = printed("explain", "http://apps.test/a", *where)
    assert explained["outcome"] == "would be served from the cache"
    purged = printed("purge", "--url", "/a", *where)
    assert purged["reached"] == "the workers of this host"
    assert not ask(port, Case("/a")).cache.hit
    said = invoke("purge", "--all", *where).stdout
    assert said == f"purged in the workers of this host (process {stats['pid']} has answered)\n"


def test_an_explanation_is_readable(server: str) -> None:
    where = ("--server", server, "--token", TOKEN, "--fetch", "--header", "Cookie: a=b")
    said = invoke("explain", "http://apps.test/private", *where).stdout.splitlines()
    assert said[0] == "http://apps.test/private"
    assert said[-1] == "=> not stored: private"
    assert "x storing  private                  refuses  [RFC 9111 §5.2.2.7]" in said


def test_a_server_that_is_not_reached_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = ("cache", "stats", "--server")
    assert "accepted: --token, or APSPERF_ADMIN__TOKEN" in failed(*stats, server)
    said = failed(*stats, server, "--token", "x" * 20)
    assert "not by an admin endpoint" in said
    assert "Connection refused" in failed(*stats, "http://127.0.0.1:1", "--token", TOKEN)
    assert "accepted: http://host:port" in failed(*stats, "nowhere", "--token", TOKEN)
    assert "visible ASCII" in failed(*stats, server, "--token", "ü")
    assert "header:" in failed(
        "explain", "/", "--header", "x", "--server", server, "--token", TOKEN
    )
    monkeypatch.setenv("APSPERF_ADMIN__TOKEN", TOKEN)
    assert invoke(*stats, server).exit_code == 0


def test_a_purge_that_does_not_reach_all_workers_ends_with_one(place: Path) -> None:
    nowhere = str(place / "missing" / "purges")
    with serving(UVICORN, Path.cwd(), **ON, APSPERF_CACHE__PURGE_FILE=nowhere) as port:
        where = ("--server", f"http://127.0.0.1:{port}", "--token", TOKEN)
        assert "not in the other workers" in failed("purge", "--all", *where, code=1)


@pytest.mark.parametrize(
    "app", ["fastapi_app", "flask_app", "plain_asgi", "plain_wsgi", "fastapi --factory"]
)
def test_an_app_is_imported_to_explain(app: str) -> None:
    name, *factory = app.split()
    where = ("--app", f"tests.warm.shop:{name}", *factory)
    told = printed("explain", "/private", "--fetch", *where)
    assert told["outcome"] == "not stored: private"
    assert printed("explain", "/page", *where)["outcome"] == "the app would be asked"
    assert not any(name.startswith("APSPERF_") for name in os.environ)


def test_what_an_app_cannot_tell() -> None:
    for args in (["--app", "a:b"], ["--app", "a:b", "--factory"], ["--factory"]):
        assert "in the memory of the server's processes" in failed("cache", "stats", *args)
    assert "--server: not given; accepted: http://" in failed("cache", "stats")
    assert "--server, --app: neither is given" in failed("explain", "/a")
    assert "--app: nowhere:app does not load" in failed("explain", "/a", "--app", "nowhere:app")
    assert "accepted: http://host/path" in failed(
        "explain", "x", "--app", "tests.warm.shop:flask_app"
    )
    assert "no suite round it" in failed("explain", "/", "--app", "tests.admin.test_cli_admin:bare")
    assert "switches admin.enabled off" in failed(
        "explain", "/", "--app", "tests.admin.test_cli_admin:off"
    )


def bare(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", list(BARE))
    return [b""]


off = Suite(admin={"enabled": False}).wsgi(bare)


def test_the_token_is_masked_where_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APSPERF_ADMIN__TOKEN", TOKEN)
    for args in ([], ["--json"]):
        said = invoke("config", *args).stdout
        assert TOKEN not in said
        assert "***" in said


def test_a_report_of_a_running_app(server: str) -> None:
    for _ in range(3):
        urlopen(server + "/").read()
    told = printed("report", "--server", server, "--token", TOKEN)
    assert told["requests"] >= 3
    assert told["rows"][0]["verdict"] == f"only {told['requests']} requests so far"
    text = invoke("report", "--server", server, "--token", TOKEN).stdout
    assert text.startswith(f"process {told['pid']}: ")
    assert "p95" in text


def test_a_report_needs_a_server(place: Path) -> None:
    assert "--server" in failed("report")

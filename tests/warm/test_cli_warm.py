"""The command `apsperf warm`: sources, apps, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.warm.support import ROOT, environ, index, invoke, serving, urlset

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = ("--app", "tests.warm.shop:fastapi_app", "--base", "http://shop.test")
APSPERF = (sys.executable, "-W", "error", "-c", "from apsperf_mw.cli import main; main()", "warm")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    for name in os.environ:
        if name.startswith("APSPERF_"):
            monkeypatch.delenv(name)


def report(*args: str, pages: str = "", code: int = 0) -> dict[str, Any]:
    result = invoke(*args, "--json", pages=pages)
    assert result.exit_code == code, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def run(*args: str, pages: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [*APSPERF, *args],
        input=pages,
        env=environ(),
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("app", "extra"),
    [
        ("fastapi_app", ()),
        ("fastapi", ("--factory",)),
        ("flask_app", ()),
        ("flask_app.wsgi_app", ()),
        ("plain_asgi", ()),
        ("plain_wsgi", ()),
        ("hidden_app", ()),
    ],
)
def test_an_app_in_this_process_is_asked(app: str, extra: tuple[str, ...]) -> None:
    args = ("--app", f"tests.warm.shop:{app}", "--urls", "-", *extra)
    told = report(*args, pages="/page\n/private\n")
    assert told["stored"] == 1
    assert list(told["not_stored"]) == ["private"]


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_a_django_project_is_asked(app: str, tmp_path: Path) -> None:
    args = ("--app", f"tests.warm.django_shop:{app}", "--base", "http://shop.test")
    done = run(*args, "--urls", "-", "--json", pages="/page\n/private", directory=tmp_path)
    told = json.loads(done.stdout)
    assert (told["stored"], list(told["not_stored"]), told["lasting"]) == (1, ["private"], False)
    assert done.returncode == 0


@pytest.mark.parametrize("app", ["fastapi_app", "plain_wsgi"])
def test_a_cache_that_ends_with_the_command_is_said_to(app: str) -> None:
    args = ("--app", f"tests.warm.shop:{app}", "--urls", "-")
    assert report(*args, pages="/page")["lasting"] is False
    result = invoke(*args, pages="/page")
    assert result.stdout == "1 stored\n"
    assert "note: the cache is in the memory of this process" in result.stderr


def test_a_cache_outside_the_process_lasts_and_is_resumed(tmp_path: Path) -> None:
    args = ("--app", "tests.warm.shop:far_app", "--urls", "-", "--resume", "state")
    told = report(*args, pages="/page\n/missing", code=1)
    assert (told["stored"], told["lasting"]) == (1, True)
    assert (tmp_path / "state").exists()
    again = report(*args, pages="/page\n/other\n")
    assert (again["stored"], again["resumed"]) == (1, 1)
    assert not (tmp_path / "state").exists()


def test_the_app_is_started_before_and_shut_down_after() -> None:
    from tests.warm import shop

    shop.events.clear()
    assert report(*SHOP, "--urls", "-", pages="/lifespan")["stored"] == 1
    assert shop.events == ["up", "asked with open", "down"]


@pytest.mark.parametrize(
    ("app", "message"), [("fails_up", "no database"), ("fails_down", "still busy")]
)
def test_a_lifespan_that_fails_is_an_error(app: str, message: str) -> None:
    result = invoke("--app", f"tests.warm.shop:{app}", "--urls", "-", pages="/page")
    assert result.exit_code == 1
    assert f"Error: the app's lifespan failed: {message}" in result.stderr
    assert ("1 stored" in result.stdout) == (app == "fails_down")


def test_openapi_of_the_app_itself() -> None:
    told = report(*SHOP, "--openapi")
    assert (told["stored"], list(told["not_stored"])) == (2, ["private"])


def test_openapi_from_a_file_and_from_the_app_by_url(tmp_path: Path) -> None:
    paths: dict[str, Any] = {"/page": {"get": {}}, "/item/{id}": {"get": {}}}
    (tmp_path / "api.json").write_text(json.dumps({"openapi": "3.0.0", "paths": paths}))
    assert report(*SHOP, "--openapi", "api.json")["stored"] == 1
    assert report(*SHOP, "--openapi", "http://shop.test/openapi.json")["stored"] == 2


def test_a_sitemap_with_further_ones_of_the_own_host_only(tmp_path: Path) -> None:
    (tmp_path / "secret.xml").write_bytes(urlset("/secret"))
    nested = (
        "http://shop.test/map/1.xml.gz",
        "http://shop.test/map/index.xml",
        "http://shop.test/map/broken.xml",
        "http://shop.test/nowhere.xml",
        "http://evil.test/map.xml",
        str(tmp_path / "secret.xml"),
        "secret.xml",
    )
    (tmp_path / "index.xml.gz").write_bytes(gzip.compress(index(*nested)))
    told = report(*SHOP, "--sitemap", "index.xml.gz", code=1)
    assert told["stored"] == 3  # of 1.xml.gz, of 2.xml by index.xml, and of what broken.xml begins
    assert told["failed"]["sitemap breaks off"]["count"] == 1
    assert told["failed"]["sitemap"]["count"] == 2  # nowhere.xml, and the app has no secret.xml
    assert told["refused"]["off the host"]["examples"] == ["http://evil.test/map.xml"]
    assert set(told["failed"]) == {"sitemap breaks off", "sitemap"}  # nobody asked for /secret


def test_an_access_log_packed_or_not(tmp_path: Path) -> None:
    line = '192.0.2.1 - - [10/Oct/2025:13:55:36 -0700] "GET {} HTTP/1.1" {} 23 "-" "Firefox"\n'
    asked = [("/page", 200), ("/item/1", 200), ("/page", 200), ("/item/2?token=x", 200)]
    text = "".join(line.format(*each) for each in [*asked, ("/missing", 404), ("//evil/", 200)])
    (tmp_path / "a.log").write_text(text)
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.log", "a.log.gz"):
        told = report(*SHOP, "--log", name)
        assert (told["stored"], told["failed"]) == (2, {})
        assert report(*SHOP, "--log", name, "--top", "1")["stored"] == 1


def test_the_limit_counts_pages_of_all_sources(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("/item/8\n/item/9\n")
    args = ("--urls", "-", "--urls", "more", "--limit", "2")
    told = report("--app", "tests.warm.shop:plain_wsgi", *args, pages="/item/7")
    assert (told["stored"] + told["fresh"], told["limited"]) == (2, True)


USAGE = [
    ((), "no source is given; accepted: --urls, --sitemap, --log, --openapi"),
    (("--urls", "-"), "--app, --base: neither is given; accepted: --base http://host:port"),
    (("--urls", "-", "--base", "shop"), "--base: got 'shop'; accepted: http://host:port"),
    (("--urls", "-", "--base", "http://u:pw@h"), "--base: got 'http://u:***@h'; accepted:"),
    ((*SHOP, "--urls", "-", "--host", "a b"), "--host: got 'a b'; accepted: a host name"),
    ((*SHOP, "--urls", "-", "--header", "x"), "--header: got 'x'; accepted: NAME:VALUE"),
    ((*SHOP, "--urls", "-", "--header", "Cookie: a"), "--header: got Cookie; accepted: no cookies"),
    ((*SHOP, "--urls", "no-file"), "--urls: no-file: No such file"),
    ((*SHOP, "--log", "no-file"), "--log: no-file: No such file"),
    ((*SHOP, "--sitemap", "no-file"), "--sitemap: no-file: No such file"),
    (
        (*SHOP, "--sitemap", "http://evil.test/"),
        "off the host; accepted: a file, or a URL",
    ),
    ((*SHOP, "--sitemap", "http://shop.test/none"), "--sitemap: http://shop.test/none: status 404"),
    ((*SHOP, "--sitemap", "http://shop.test/page"), "syntax error"),
    ((*SHOP, "--openapi", "no-file"), "--openapi: no-file: No such file"),
    ((*SHOP, "--openapi", "http://shop.test/page"), "accepted: an OpenAPI 3 document in JSON"),
    (("--base", "http://shop.test", "--openapi"), "--openapi: alone it needs --app"),
    (("--app", "tests.warm.shop:plain_wsgi", "--openapi"), "makes no document of itself"),
    (("--app", "shop", "--urls", "-"), "--app: got 'shop'; accepted: module:attribute"),
    (("--app", "no.such:app", "--urls", "-"), "--app: no.such:app does not load: ModuleNotFound"),
    (("--app", "tests.warm.shop:none", "--urls", "-"), "--app: tests.warm.shop:none does not load"),
    (("--app", "tests.warm.shop:events", "--urls", "-"), "accepted: an ASGI app (scope, receive"),
    (("--app", "tests.warm.shop:bare_app", "--urls", "-"), "bear no Cache-Status of the suite"),
    (
        ("--app", "tests.warm.shop:bare_wsgi_app", "--urls", "-"),
        "accepted: an app with the suite",
    ),
    (("--app", "tests.warm.shop:off", "--urls", "-"), "--app: the suite's cache.enabled is off"),
    ((*SHOP, "--urls", "-", "--resume", "state"), "--resume: the app's cache is in the memory"),
    ((*SHOP, "--urls", "-", "--concurrency", "0"), "'--concurrency': 0 is not in the range"),
    ((*SHOP, "--urls", "-", "--rate", "0"), "'--rate': 0.0 is not in the range"),
    ((*SHOP, "--urls", "-", "--limit", "x"), "'--limit': 'x' is not a valid integer range"),
]


@pytest.mark.parametrize(("args", "message"), USAGE, ids=[" ".join(args) for args, _ in USAGE])
def test_what_cannot_be_carried_out_is_code_2(args: tuple[str, ...], message: str) -> None:
    result = invoke(*args, pages="/page\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())


def test_pages_of_another_host_only_are_an_error() -> None:
    result = invoke(*SHOP, "--urls", "-", pages="https://other.test/a")
    assert result.exit_code == 2
    assert "off the host; accepted: paths, and URLs of shop.test (--base, --host)" in result.stderr


def test_nothing_to_ask_for_is_no_error() -> None:
    assert report(*SHOP, "--urls", "-")["stored"] == 0


def test_a_state_of_another_warm_up_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("precious")
    args = ("--app", "tests.warm.shop:far_app", "--urls", "-", "--resume", "state")
    result = invoke(*args, pages="/page")
    assert result.exit_code == 2
    assert "--resume: it is not of this warm-up" in result.stderr
    assert (tmp_path / "state").read_text() == "precious"


@pytest.mark.parametrize(("page", "code"), [("/page", 0), ("/missing", 1)])
def test_the_command_as_a_process(page: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "local_app.py").write_text("from tests.warm.shop import plain_asgi as app\n")
    args = ("--app", "local_app:app", "--urls", "-", "--json")
    done = run(*args, pages=page, directory=tmp_path)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["complete"] is True


def test_a_terminal_shows_a_bar_on_the_error_stream_only(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*APSPERF, "--app", "tests.warm.shop:plain_asgi", "--urls", "-", "--json"],
            input=b"/page\n/item/1\n",
            env=environ(),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=False,
        )
    finally:
        os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "warming" in shown
    assert "100%" in shown
    assert json.loads(done.stdout)["stored"] == 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving("uvicorn", tmp_path_factory.mktemp("server")) as base:
        yield base


def test_an_interrupted_run_goes_on_where_it_was(server: str, tmp_path: Path) -> None:
    pages = "".join(f"/interrupted/{number}\n" for number in range(100))
    (tmp_path / "pages").write_text(pages)
    state = tmp_path / "state"
    args = ("--base", server, "--urls", "pages", "--json", "--resume", "state")
    process = subprocess.Popen(
        [*APSPERF, *args, "--rate", "20", "--concurrency", "1"],
        env=environ(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not state.exists() or state.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    told = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 130
    assert told["complete"] is False
    assert 2 <= told["stored"] < 100
    again = report(*args)
    assert again["resumed"] >= told["stored"]
    assert again["resumed"] + again["stored"] + again["fresh"] == 100
    assert not state.exists()

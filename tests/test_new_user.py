"""A new user pastes a quick start into an empty directory, starts it, and asks it twice.

Where the tests run on the built wheel, so does this.
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.adapters.support import environ
from tests.apps.servers import free_port, running, wait_for_port
from tests.test_readme import README

if TYPE_CHECKING:
    from collections.abc import Iterator

FENCED = re.compile(r"```(?:python)?\n(.*?)```", re.DOTALL)
ASK = """
urlpatterns = []
from django.http import JsonResponse
from django.urls import path
"""


def section(title: str) -> str:
    """What stands under a heading of the README."""
    return README.read_text("utf-8").split(f"### {title}\n", 1)[1].split("\n#", 1)[0]


def blocks(title: str) -> list[str]:
    """The code under a heading, as a reader would copy it."""
    return FENCED.findall(section(title))


@contextmanager
def started(directory: Path, *command: str) -> Iterator[int]:
    """The port of a server that the command starts in a directory."""
    port = free_port()
    filled = [each.format(port=port) for each in command]
    with running(directory, *filled, cwd=directory) as (process, log):
        wait_for_port(port, process, log)
        yield port


def asked(port: int, path: str) -> tuple[int, str, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.getheader("Cache-Status", ""), response.read()


def is_served_twice(port: int, path: str, body: bytes) -> None:
    first, second = asked(port, path), asked(port, path)
    assert (first[0], first[2]) == (200, body)
    assert "stored" in first[1]
    assert second == (200, second[1], body)
    assert second[1].startswith("apsperf; hit; ttl=")


def test_fastapi(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(blocks("FastAPI and Starlette")[0])
    with started(tmp_path, "-m", "uvicorn", "main:app", "--port={port}") as port:
        is_served_twice(port, "/albums/5", b'{"album":5}')
    checked = subprocess.run(
        [Path(sys.executable).with_name("apsperf"), "doctor", "--app", "main:app"],
        cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "GET /albums/{album_id}: cached for medium, tags albums" in checked.stdout


def test_flask(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(blocks("Flask")[0])
    with started(tmp_path, "-m", "flask", "run", "--port={port}") as port:
        is_served_twice(port, "/albums/5", b'{"album":5}\n')
    checked = subprocess.run(
        [sys.executable, "-m", "flask", "apsperf", "doctor"],
        cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "GET /albums/<int:album_id>: cached for medium, tags albums" in checked.stdout


def test_django(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "site_of_mine", "."],
        cwd=tmp_path, env=environ(), check=True,
    )  # fmt: skip
    settings, view = blocks("Django")[:2]
    with (tmp_path / "site_of_mine" / "settings.py").open("a") as file:
        file.write(f"\n{settings}")
    body = view.replace("...", "return JsonResponse({'album': album_id})")
    (tmp_path / "site_of_mine" / "urls.py").write_text(
        f"{ASK}{body}\nurlpatterns.append(path('albums/<int:album_id>', album))\n"
    )
    run = ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}")
    with started(tmp_path, *run) as port:
        is_served_twice(port, "/albums/5", b'{"album": 5}')
    checked = subprocess.run(
        [sys.executable, "manage.py", "apsperf_doctor"],
        cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "GET /albums/<int:album_id>: cached for medium, tags albums" in checked.stdout


@pytest.mark.parametrize("title", ["FastAPI and Starlette", "Flask", "Django"])
def test_each_framework_has_a_quick_start(title: str) -> None:
    assert blocks(title)


def test_the_demo(tmp_path: Path) -> None:
    """As a command, in a directory that has an `examples` of its own."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "__init__.py").write_text("raise RuntimeError('not these')")
    ran = subprocess.run(
        [Path(sys.executable).with_name("apsperf"), "demo", "--requests", "200"],
        cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "201 responses identical" in ran.stdout
    assert "`apsperf demo --serve` keeps both shops up" in ran.stdout


def test_the_demo_names_what_is_not_installed(tmp_path: Path) -> None:
    for missing in ("sqlalchemy", "httptools"):
        code = f"import sys; sys.modules[{missing!r}] = None; from apsperf_mw.cli import main; "
        ran = subprocess.run(
            [sys.executable, "-c", code + "main(['demo'])"],
            cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 1
        assert "the demo needs it: pip install 'apsperf-mw[demo]'" in ran.stderr

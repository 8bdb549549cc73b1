from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(params=["asgi", "wsgi"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory and a directory for temporary files of the test's own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(here)
    for name in os.environ:
        if name.startswith("APSPERF_"):
            monkeypatch.delenv(name)
    return temporary

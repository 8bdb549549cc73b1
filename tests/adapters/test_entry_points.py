"""The adapters are found by their entry points, ours and anybody's."""

from __future__ import annotations

from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner

import apsperf_fastapi
import apsperf_flask
from apsperf_mw.cli import ADAPTERS, main

THIRD_PARTY = """
class Plugin:
    def __init__(self, app):
        self.app = app
"""


def listed() -> list[list[str]]:
    result = CliRunner().invoke(main, ["adapters"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


def test_the_three_adapters_are_listed_with_what_they_install() -> None:
    version = distribution("apsperf-mw").version
    ours = [row[:2] for row in listed() if row[2:] == ["apsperf-mw", version]]
    assert ours == [
        ["django", "apsperf_django.middleware:SuiteMiddleware"],
        ["fastapi", "apsperf_fastapi:install"],
        ["flask", "apsperf_flask:APSPerf"],
    ]


def test_each_entry_point_loads() -> None:
    from tests.adapters.django_site import OURS

    found = {point.name: point.load() for point in entry_points(group=ADAPTERS)}
    assert found["flask"] is apsperf_flask.APSPerf
    assert found["fastapi"] is apsperf_fastapi.install
    assert f"{found['django'].__module__}.{found['django'].__name__}" == OURS


def test_a_third_partys_adapter_is_listed_and_loads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = tmp_path / "apsperf_elsewhere-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: apsperf-elsewhere\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[{ADAPTERS}]\nelsewhere = apsperf_elsewhere:Plugin\n")
    (tmp_path / "apsperf_elsewhere.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    assert ["elsewhere", "apsperf_elsewhere:Plugin", "apsperf-elsewhere", "2.0"] in listed()
    [point] = entry_points(group=ADAPTERS, name="elsewhere")
    assert point.load()("app").app == "app"

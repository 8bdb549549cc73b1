"""The command `apsperf`: what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from apsperf_mw.__about__ import __version__
from apsperf_mw.cli import main
from apsperf_mw.settings import Settings, flatten

if TYPE_CHECKING:
    from pathlib import Path

BARE_PATH = [entry for entry in sys.path if not entry.endswith("-packages")]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("APSPERF_"):
            monkeypatch.delenv(name)


def printed(*args: str) -> str:
    result = CliRunner().invoke(main, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def install(site: Path, name: str, entry: str) -> None:
    """A distribution as an installer leaves it."""
    info = site / f"{name}-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[apsperf_mw.adapters]\n{entry}\n")


def test_version() -> None:
    assert printed("--version") == f"apsperf, version {__version__}\n"


def test_config_prints_each_setting_its_source_and_its_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APSPERF_DRIVERS__SHARED", "redis://user:hunter2@host/0")
    (tmp_path / "apsperf.toml").write_text('default = "shared"\n[timing]\nenabled = false\n')
    lines = printed("config").splitlines()
    rows = dict(line.split(maxsplit=1) for line in lines)
    assert rows["default"].split() == ["apsperf.toml", '"shared"']
    assert rows["timing.enabled"].split() == ["apsperf.toml", "false"]
    assert rows["ttl.short"].split() == ["default", "300"]
    assert rows["cache.driver"].split() == ["default", "unset"]
    assert rows["drivers.shared"].split() == [
        "APSPERF_DRIVERS__SHARED",
        '"redis://user:***@host/0"',
    ]
    assert len({line.index(row) for line, row in zip(lines, rows.values(), strict=True)}) == 1


def test_config_as_json_holds_the_whole_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APSPERF_CACHE__DRIVER", "redis://h?password=hunter2")
    tree = json.loads(printed("config", "--json"))
    expected = json.loads(json.dumps(flatten(Settings())))
    expected["cache.driver"] = "redis://h?password=***"
    assert {path: each["value"] for path, each in tree.items()} == expected
    assert tree["cache.driver"]["source"] == "APSPERF_CACHE__DRIVER"
    assert tree["default"]["source"] == "default"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_bad_settings_are_a_message_and_code_2(flags: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from apsperf_mw.cli import main; main()", "config", *flags],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "APSPERF_DEFAULT": "redis://:hunter2 @h",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: default: got 'redis://:***@h' from APSPERF_DEFAULT;"
        " accepted: driver name, URL or module:factory\n"
    )


def test_an_adapter_of_a_third_party_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path / "site", "apsperf_bottle", "bottle = apsperf_bottle:Plugin")
    monkeypatch.syspath_prepend(tmp_path / "site")
    rows = [line.split() for line in printed("adapters").splitlines()]
    assert ["bottle", "apsperf_bottle:Plugin", "apsperf_bottle", "1.5"] in rows
    assert {
        "name": "bottle",
        "object": "apsperf_bottle:Plugin",
        "distribution": "apsperf_bottle",
        "version": "1.5",
    } in json.loads(printed("adapters", "--json"))


def test_without_adapters_the_list_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", BARE_PATH)
    assert json.loads(printed("adapters", "--json")) == []
    assert "no adapter is installed" in CliRunner().invoke(main, ["adapters"]).output


def test_a_damaged_installation_is_listed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path, "broken", "odd = broken:Adapter")
    (tmp_path / "broken-1.5.dist-info" / "METADATA").unlink()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *BARE_PATH])
    assert printed("adapters").split() == ["odd", "broken:Adapter", "?", "?"]

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

import pytest

import apsperf_mw

FRAMEWORKS = {"flask", "fastapi", "django"}
BACK_ENDS = {"backports", "cryptography", "redis", "sqlalchemy", "uvicorn"}
LATE = {
    "anyio",
    "asyncio",
    "click",
    "diskcache",
    "opentelemetry",
    "psutil",
    "starlette",
    "trio",
    "werkzeug",
}
DRIVERS = ("file", "memory", "redis", "rediss", "tiered", "unix")
ADAPTERS = {"apsperf_flask": "flask", "apsperf_fastapi": "fastapi", "apsperf_django": "django"}

LOADED = """
import json, sys
{code}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
FOR_EXTRAS = (
    "advice.advising",
    "advice.choosing",
    "advice.reading",
    "db.asyncpg",
    "db.batches",
    "db.buffers",
    "db.catalogue",
    "db.copying",
    "db.engines",
    "db.following",
    "db.keeping",
    "db.lazy_rows",
    "db.loads",
    "db.parsing",
    "db.pools",
    "db.psycopg",
    "db.psycopg_pools",
    "db.sqlalchemy",
    "db.writing",
)
WITHOUT_EXTRAS = """
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
import apsperf_mw
for module in pkgutil.walk_packages(apsperf_mw.__path__, "apsperf_mw."):
    # Some are for their extra alone.
    if not module.name.endswith(("__main__", *{for_extras!r})):
        importlib.import_module(module.name)
"""


def run(code: str, directory: Path) -> str:
    """What the code prints in a fresh interpreter that starts in this directory."""
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str, directory: Path) -> set[str]:
    return set(json.loads(run(LOADED.format(code=code), directory)))


def test_the_import_is_light(tmp_path: Path) -> None:
    ours = loaded("import apsperf_mw", tmp_path) - loaded("", tmp_path)
    assert not ours & (FRAMEWORKS | BACK_ENDS | LATE)


def test_a_suite_is_made_without_any_framework(tmp_path: Path) -> None:
    code = "import apsperf_mw; apsperf_mw.Suite().close()"
    assert not loaded(code, tmp_path) & (FRAMEWORKS | BACK_ENDS)


@pytest.mark.parametrize(("adapter", "framework"), ADAPTERS.items())
def test_an_adapter_loads_no_other_framework(tmp_path: Path, adapter: str, framework: str) -> None:
    assert not loaded(f"import {adapter}", tmp_path) & (FRAMEWORKS - {framework})


def test_the_whole_core_can_be_imported_without_the_extras(tmp_path: Path) -> None:
    run(
        WITHOUT_EXTRAS.format(
            for_extras=FOR_EXTRAS, refused=FRAMEWORKS | BACK_ENDS | {"apsperf_flask"}
        ),
        tmp_path,
    )


def test_every_module_of_the_core_has_its_place_in_the_layers() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["name"] == "Arrows run downward"
    )
    placed = {name for layer in layers for name in layer.replace("|", ":").split(" : ")}
    modules = {
        name
        for _, name, is_package in pkgutil.walk_packages(apsperf_mw.__path__, "apsperf_mw.")
        if not is_package and not name.rpartition(".")[2].startswith("__")
    }
    placed_below = tuple(f"{name}." for name in placed)
    assert not {name for name in modules - placed if not name.startswith(placed_below)}


OUR_ENTRY_POINTS = [
    point
    for point in distribution("apsperf-mw").entry_points
    if point.group in {"apsperf_mw.adapters", "apsperf_mw.drivers", "console_scripts"}
]


@pytest.mark.parametrize("point", OUR_ENTRY_POINTS, ids=lambda point: f"{point.group}:{point.name}")
def test_every_entry_point_leads_to_something(point: EntryPoint) -> None:
    assert callable(point.load())


def test_the_adapters_and_the_driver_are_offered() -> None:
    offered = {(point.group, point.name) for point in OUR_ENTRY_POINTS}
    assert offered == {
        ("console_scripts", "apsperf"),
        *(("apsperf_mw.drivers", name) for name in DRIVERS),
        *(("apsperf_mw.adapters", name) for name in FRAMEWORKS),
    }


def test_the_version_is_that_of_the_distribution() -> None:
    assert apsperf_mw.__version__ == distribution("apsperf-mw").version

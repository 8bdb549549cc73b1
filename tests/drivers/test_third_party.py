"""A driver of others: installed as a package, found by its name, and tested by the contract."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TIN = Path(__file__).parent / "tin"
USE = """
from apsperf_mw import DriverError, Suite, UnknownDriver
from apsperf_mw.drivers.registry import Registry

registry = Registry({"mine": "tin://mine"})
assert "tin" in registry.known()
assert type(registry.get("mine")).__module__ == "tin_driver"
assert registry.get("mine").label == "mine"
suite = Suite(default="tin://shop")
assert suite.driver("cache").label == "shop"
sealed = Suite(default="sealed+tin://shop", sealed={"keys": ["0123456789abcdef"]})
assert sealed.driver("cache").set(b"k", b"v", 60)
assert sealed.driver("cache").get(b"k") == b"v"
for name in ("tan", "tin://"):
    try:
        registry.get(name)
    except UnknownDriver as fault:
        print(fault)
    except DriverError as fault:
        print(fault)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, as pip does it."""
    source = tmp_path_factory.mktemp("source") / "tin"
    shutil.copytree(TIN, source)
    site = tmp_path_factory.mktemp("site")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", str(site)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return site


def run(site: Path, directory: Path, *args: str) -> str:
    """What a fresh interpreter prints that finds the package."""
    shutil.copy(TIN / "check_tin.py", directory)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:tin_driver", *args],
        env={"PYTHONPATH": str(site), "TMPDIR": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_installed_package_offers_a_driver(site: Path, tmp_path: Path) -> None:
    unknown, bad = run(site, tmp_path, "-c", USE).splitlines()
    assert unknown == (
        "driver 'tan' is not known; known: file, memory, mine, redis, rediss, tiered, tin, unix"
    )
    assert bad == "tin://: accepted: tin://label"


def test_the_contract_is_run_with_pytest_alone(site: Path, tmp_path: Path) -> None:
    """Outside of this project: no configuration, no plugin, no fixture of ours."""
    told = run(
        site, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:timeout",
        "-p", "no:hypothesispytest", "check_tin.py",
    )  # fmt: skip
    assert int(re.search(r"(\d+) passed", told)[1]) > 50  # type: ignore[index]
    assert "skipped" not in told

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = {
    "apsperf_mw": PROJECT / "apsperf_mw",
    "apsperf_flask": PROJECT / "adapters" / "apsperf_flask",
    "apsperf_fastapi": PROJECT / "adapters" / "apsperf_fastapi",
    "apsperf_django": PROJECT / "adapters" / "apsperf_django",
    "apsperf_pytest": PROJECT / "adapters" / "apsperf_pytest",
}
# What `apsperf demo` runs, as it lies in the project.
DEMO = ("__init__.py", "demo.py", "data/**/*", "records/**/*", "replay/**/*", "shop/**/*")
BASE = {
    "cachetools",
    "click",
    "diskcache",
    "msgspec",
    "opentelemetry-sdk",
    "psutil",
    "starlette",
    "werkzeug",
}


def build(source: Path, target: str, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(PROJECT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> Message:
    (path,) = unpacked.glob("*.dist-info/METADATA")
    return message_from_bytes(path.read_bytes())


def files(site: Path) -> set[str]:
    return {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}


def test_the_wheel_holds_five_packages_and_nothing_else(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"}
    assert names == set(PACKAGES)


def test_every_source_file_is_in_the_wheel(unpacked: Path) -> None:
    sources = {
        f"{name}/{path.relative_to(root).as_posix()}"
        for name, root in PACKAGES.items()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    examples = PROJECT / "examples"
    demo = {
        f"apsperf_mw/_demo/examples/{path.relative_to(examples).as_posix()}"
        for pattern in DEMO
        for path in examples.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources | demo == {path for path in files(unpacked) if ".dist-info/" not in path}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(unpacked: Path, package: str) -> None:
    assert (unpacked / package / "py.typed").is_file()


def test_the_wheel_built_from_the_sdist_is_the_same(unpacked: Path, tmp_path: Path) -> None:
    sdist = build(PROJECT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(build(source, "wheel", tmp_path / "again")) as archive:
        assert set(archive.namelist()) == files(unpacked)


@pytest.mark.parametrize(
    ("name", "found"), [*((name, True) for name in PACKAGES), ("adapters", False)]
)
def test_what_can_be_imported(unpacked: Path, tmp_path: Path, name: str, found: bool) -> None:
    code = f"import sys; sys.path.append({str(unpacked)!r}); import importlib.util as i; "
    code += f"sys.exit(i.find_spec({name!r}) is None)"
    isolated = [sys.executable, "-I", "-S", "-c", code]
    assert (subprocess.run(isolated, cwd=tmp_path, check=False).returncode == 0) is found


def test_the_base_needs_these_and_no_framework(metadata: Message) -> None:
    required = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert {one.partition(">")[0].strip() for one in required} == BASE


def test_the_licences_go_with_it(unpacked: Path, metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT AND Apache-2.0"
    (licences,) = unpacked.glob("*.dist-info/licenses")
    for name in ("LICENSE", "examples/data/NOTICE", "examples/data/chinook.LICENSE.md"):
        assert (licences / name).read_bytes() == (PROJECT / name).read_bytes()

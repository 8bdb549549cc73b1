"""Run the frameworks' own tests, bare and wrapped: python -m tests.transparency."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import msgspec

from tests.apps.servers import ROOT
from tests.conformance.servers import clean_environ
from tests.transparency.results import Exemptions, Tally, broken, wrongs

PLACE = ROOT / "build" / "transparency"
HERE = Path(__file__).parent
# The projects, each with what of its tests has no app in this process.
PROJECTS = {
    "starlette": (),
    "fastapi": ("tests/benchmarks", "tests/test_fastapi_cli.py"),
    "flask": (),
    "django": (),
    "werkzeug": ("tests/test_serving.py", "tests/middleware/test_http_proxy.py"),
}
# Django has a runner of its own, and most of its tests have no handler.
DJANGO = (
    "asgi",
    "cache",
    "csrf_tests",
    "handlers",
    "i18n",
    "middleware",
    "servers",
    "sessions_tests",
    "staticfiles_tests",
    "test_client",
    "test_client_regress",
    "view_tests",
    "wsgi",
)
# What takes a minute; of FastAPI's own tests there is no part that tells more than Starlette's.
SMOKE = ("starlette", "flask", "werkzeug", "django")
SMOKE_DJANGO = ("asgi", "csrf_tests", "handlers", "middleware", "test_client", "wsgi")
# So many apps must have been seen at least: else nothing was wrapped.
LEAST = {"starlette": 1000, "fastapi": 1000, "flask": 200, "django": 200}
DOWNLOAD_S = 300.0
RUN_S = 600.0


class Broken(Exception):
    """The tests could not be run; the message says why."""


@click.command()
@click.option("--only", type=click.Choice([*PROJECTS]))
@click.option("--smoke", is_flag=True, help="The part that each change has to pass.")
def main(only: str | None, smoke: bool) -> None:
    """Fail where a test passes bare and not wrapped, unless the list allows it."""
    exemptions = msgspec.toml.decode((HERE / "allowed.toml").read_bytes(), type=Exemptions).allowed
    good = True
    try:
        for project in [only] if only else SMOKE if smoke else PROJECTS:
            began = time.monotonic()
            bare, wrapped = run(project, smoke=smoke)
            click.echo(f"{told(project, bare, wrapped)} ({time.monotonic() - began:.0f} s)")
            for wrong in wrongs(project, broken(bare, wrapped), exemptions):
                click.echo(f"  ! {wrong}")
                good = False
    except Broken as why:
        raise click.ClickException(str(why)) from None
    sys.exit(0 if good else 1)


def told(project: str, bare: Tally, wrapped: Tally) -> str:
    """One line on both runs."""
    return (
        f"{project} {version(project)}: bare {bare.count('passed')} pass and "
        f"{bare.count('failed')} fail, wrapped {wrapped.count('passed')} pass; "
        f"{wrapped.apps} suites saw {sum(wrapped.requests.values())} requests"
    )


def run(project: str, *, smoke: bool) -> tuple[Tally, Tally]:
    """Both runs, at the same time."""
    source = unpacked(project)
    runs = [start(project, source, wrap, smoke=smoke) for wrap in (False, True)]
    try:
        bare, wrapped = (finish(*each) for each in runs)
    finally:
        for process, _ in runs:
            process.kill()
    if not bare.count("passed") or not wrapped.requests:
        raise Broken(f"{project}: nothing was tested; see {PLACE}")
    if wrapped.apps < LEAST.get(project, 0) and not (smoke and project == "django"):
        raise Broken(f"{project}: {wrapped.apps} apps were wrapped; {LEAST[project]} at least")
    return bare, wrapped


def unpacked(project: str) -> Path:
    """The directory of the project's source, of the version that is installed."""
    name = f"{project}-{version(project)}"
    if not (PLACE / name).is_dir():
        download(f"{project}=={version(project)}")
        with tarfile.open(PLACE / f"{name}.tar.gz") as archive:
            archive.extractall(PLACE, filter="data")
    return PLACE / name


def download(requirement: str) -> None:
    """Have pip fetch a source distribution."""
    PLACE.mkdir(parents=True, exist_ok=True)
    name = requirement.partition("==")[0]
    flags = ["--quiet", "--no-deps", f"--no-binary={name}", f"--dest={PLACE}"]
    command = [sys.executable, "-m", "pip", "download", *flags, requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    if done.returncode:
        raise Broken(f"pip could not download {requirement}:\n{done.stderr}")


def start(project: str, source: Path, wrap: bool, *, smoke: bool) -> tuple[Any, Path]:
    """Start one run; the second is where its tally will be."""
    tally = PLACE / f"{project}-{'wrapped' if wrap else 'bare'}.json"
    tally.unlink(missing_ok=True)
    environ = clean_environ() | {
        "PYTHONPATH": str(HERE),
        "TRANSPARENCY_TALLY": str(tally),
        "TRANSPARENCY_WRAP": project if wrap else "",
    }
    command = command_of(project, smoke=smoke)
    place = source / "tests" if project == "django" else source
    with tally.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, env=environ, stdout=log, stderr=log)
    return process, tally


def command_of(project: str, *, smoke: bool) -> list[str]:
    """What runs a project's tests."""
    if project == "django":
        labels = SMOKE_DJANGO if smoke else DJANGO
        own = ("--settings=transparent_settings", "--parallel=1", "--noinput")
        return [sys.executable, "-W", "ignore", "runtests.py", *own, *labels]
    ignored = [f"--ignore={path}" for path in PROJECTS[project]]
    flags = ("-p", "no:cacheprovider", "-q", "--continue-on-collection-errors")
    return [sys.executable, "-m", "pytest", "-p", "wrapping", *flags, *ignored, "tests"]


def finish(process: Any, tally: Path) -> Tally:
    """What a run said."""
    try:
        process.wait(RUN_S)
        return msgspec.json.decode(tally.read_bytes(), type=Tally)
    except subprocess.TimeoutExpired:
        why = f"did not end within {RUN_S:.0f} s"
    except (OSError, msgspec.DecodeError):
        why = "left no tally"
    raise Broken(f"a run {why}; see {tally.with_suffix('.log')}")


if __name__ == "__main__":
    main()

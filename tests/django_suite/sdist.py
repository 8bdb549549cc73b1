"""Django's own tests, which only its source distribution has: fetched once by pip."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "django"
FETCH_S = 300.0


class Broken(Exception):
    """The tests could not be run; the message says why."""


def tests_of() -> Path:
    """The tests of the Django that is installed, unpacked."""
    name = f"django-{django.__version__}"
    place = PLACE / name / "tests"
    if not place.is_dir():
        archive = PLACE / f"{name}.tar.gz"
        if not archive.is_file():
            _fetch()
        with tarfile.open(archive) as packed:
            packed.extractall(PLACE, filter="data")
    return place


def _fetch() -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    wanted = f"django=={django.__version__}"
    flags = ("-q", "--no-deps", "--no-binary", "django", "--dest", str(PLACE))
    command = (sys.executable, "-m", "pip", "download", *flags, wanted)
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False)
    if done.returncode:
        raise Broken(f"pip could not fetch the source of {wanted}:\n{done.stderr}")

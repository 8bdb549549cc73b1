"""Django's own tests of caches and of sessions in them, on `SuiteCache` over each driver.

`python -m tests.django_suite [DRIVER ...]`: names or URLs; memory and a file driver if none is
given. Needs the network once, for Django's source distribution.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

from tests.django_suite.sdist import ROOT, Broken, tests_of

RUN_S = 300.0


def main(drivers: list[str]) -> int:
    """Run them for each driver; 1 where one of them fails, 2 where they cannot be run."""
    try:
        tests = tests_of()
    except Broken as why:
        sys.stderr.write(f"{why}\n")
        return 2
    with tempfile.TemporaryDirectory() as place:
        chosen = drivers or ["memory", f"file://{place}/cache"]
        codes = [_run([str(tests), driver]) for driver in chosen]
    return max(codes)


def _run(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "tests.django_suite.run", *arguments]
    return subprocess.run(command, cwd=ROOT, timeout=RUN_S, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

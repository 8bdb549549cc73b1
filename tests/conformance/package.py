"""The npm package of the HTTP cache tests: its installation, and a run of it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.apps.servers import ROOT
from tests.conformance.results import Case
from tests.conformance.servers import clean_environ, serving

if TYPE_CHECKING:
    from tests.conformance.servers import Server

PLACE = ROOT / "build" / "conformance"
NAME = "http-cache-tests"
VERSION = "0.4.5"
INSTALL_S = 300.0
RUN_S = 120.0
REQUEST_S = 20.0
OLDEST_NODE = 16


class Broken(Exception):
    """The tests could not be run; the message says why."""


def ready() -> Path:
    """The installed package's directory; it is installed where it is not yet."""
    check_node()
    package = PLACE / "node_modules" / NAME
    if version_of(package) != VERSION:
        install()
    if version_of(package) != VERSION:
        raise Broken(f"npm has installed another {NAME} than {VERSION}")
    return package


def check_node() -> None:
    """Raise where there is no Node.js, or too old a one."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Broken(
                f"The HTTP cache tests need Node.js {OLDEST_NODE} or newer with npm: "
                f"there is no {tool} on the path."
            )
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    if int(said.strip().removeprefix("v").partition(".")[0] or 0) < OLDEST_NODE:
        raise Broken(f"Node.js {OLDEST_NODE} or newer is needed; this is {said.strip() or 'none'}.")


def version_of(package: Path) -> str:
    """The version of an installed package, or an empty string."""
    try:
        return str(json.loads((package / "package.json").read_bytes())["version"])
    except OSError:
        return ""


def install() -> None:
    """Install the package under the build directory."""
    PLACE.mkdir(parents=True, exist_ok=True)
    flags = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = ["npm", "install", "--prefix", str(PLACE), *flags, f"{NAME}@{VERSION}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"npm did not install {NAME} within {INSTALL_S:.0f} s") from None
    if done.returncode:
        raise Broken(f"npm could not install {NAME}@{VERSION}:\n{done.stdout}{done.stderr}")


def run(package: Path, server: Server, ids: list[str], *, dump: bool = False) -> list[Case]:
    """What the tests say of this server; raises where they cannot be run or do not end in time."""
    log = log_of(server)
    out = PLACE / f"{server.name}.json"
    out.unlink(missing_ok=True)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as origin:
        options: dict[str, Any] = {"suite": str(package), "out": str(out), "ids": ids, "dump": dump}
        options |= {"port": origin.getsockname()[1], "socket": origin.fileno()}
        options |= {"timeout_ms": int(REQUEST_S * 1000)}
        try:
            with serving(server, options["port"], log) as front:
                drive(options | {"base": f"http://127.0.0.1:{front}"})
        except AssertionError as why:  # of the start; it has the log
            raise Broken(f"{server.name}: {why}") from None
        except Broken as why:
            raise Broken(f"{server.name}: {why}\n{tail(log)}") from None
    return msgspec.json.decode(out.read_bytes(), type=list[Case])


def drive(options: dict[str, Any]) -> None:
    """Run the tests' origin and client; what they print is shown where asked, or in an error."""
    try:
        done = subprocess.run(
            ["node", str(Path(__file__).with_name("run.mjs")), json.dumps(options)],
            env=clean_environ(),
            pass_fds=[options["socket"]],
            stderr=None if options["dump"] else subprocess.PIPE,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"the tests did not end within {RUN_S:.0f} s") from None
    if done.returncode:
        raise Broken(f"the tests could not be run:\n{done.stderr or ''}")


def log_of(server: Server) -> Path:
    """Where the server's output goes."""
    return PLACE / f"{server.name}.log"


def faults(server: Server) -> list[str]:
    """What the suite has logged of faults of its own; the tests make the app fail."""
    lines = log_of(server).read_text("utf-8", "replace").splitlines()
    return [line for line in lines if "fault in" in line and "fault in the app" not in line]


def tail(log: Path) -> str:
    """The end of what the server printed."""
    lines = log.read_text("utf-8", "replace").splitlines()
    return "\n".join(["the server's last lines:", *lines[-15:]])

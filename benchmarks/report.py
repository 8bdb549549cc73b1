"""The results as tables for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.eviction.measure import Outcome
    from benchmarks.imports import ImportTime
    from benchmarks.inprocess import Result
    from benchmarks.servers import ServerResult

PACKAGES = (
    *("apsperf-mw", "msgspec", "cachetools", "opentelemetry-sdk"),
    *("uvicorn", "httptools", "uvloop", "granian", "gunicorn"),
)


class Report(Struct):
    """Everything that one run has measured; what was left out is empty."""

    about: dict[str, Any]
    in_process: list[Result]
    servers: list[ServerResult]
    imports: ImportTime | None
    eviction: Outcome | None = None


def about(**run: Any) -> dict[str, Any]:
    """The machine, the interpreter, the versions and how the run was made."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version,
        "flags": {name: getattr(sys.flags, name) for name in _flag_names()},
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        **run,
    }


def write(report: Report, path: Path) -> None:
    """Write the JSON; the directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def in_process_table(results: Sequence[Result]) -> str:
    """One row for each case, with what the dict and the suite add."""
    head = ("in process", "", "bare us", "dict adds", "suite adds", "to bare", "to dict", "bar")
    cells = {(r.shell, r.case, r.contender): r for r in results}
    rows = [
        _case_row(result, cells[result.shell, result.case, "bare"], cells)
        for result in results
        if result.contender == "suite"
    ]
    return table(head, rows)


def _case_row(
    ours: Result, bare: Result, cells: dict[tuple[str, str, str], Result]
) -> tuple[str, ...]:
    kept = cells.get((ours.shell, ours.case, "dict"))
    return (
        ours.shell,
        ours.title,
        f"{bare.us:.2f}",
        f"{kept.added_us:.2f}" if kept else "",
        f"{ours.added_us:.2f}",
        f"{ours.ratio_to_bare:.1f}x",
        f"{ours.ratio_to_dict:.1f}x" if ours.ratio_to_dict is not None else "",
        against_bar(ours.added_us, ours.bar_us, "us"),
    )


def servers_table(results: Sequence[ServerResult]) -> str:
    """One row for each wrapping on each server."""
    head = ("servers", "", "requests/s", "to bare", "CPU us/request", "to bare")
    return table(head, [_server_row(result) for result in results])


def _server_row(result: ServerResult) -> tuple[str, ...]:
    return (
        result.server,
        result.wrapping,
        f"{result.requests_per_s:,.0f}",
        f"{result.requests_ratio:.2f}x",
        f"{result.cpu_us:.1f}",
        f"{result.cpu_ratio:.2f}x",
    )


def imports_table(result: ImportTime) -> str:
    """What the import adds to the interpreter's start."""
    head = ("import", "interpreter ms", "with import ms", "added ms", "bar")
    row = (
        "apsperf_mw",
        f"{result.interpreter_ms:.1f}",
        f"{result.with_import_ms:.1f}",
        f"{result.added_ms:.1f}",
        against_bar(result.added_ms, result.bar_ms, "ms"),
    )
    return table(head, [row])


def against_bar(value: float, bar: float | None, unit: str) -> str:
    """The bar and how much of it is used, or nothing where there is none."""
    return "" if bar is None else f"<= {bar:g} {unit}: {value / bar:.0%}"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; the first two are text, the others end flush."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(cells, widths) for cells in (head, rule, *rows))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    aligned = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def cpu_model() -> str:
    """The processor's name, as Linux tells it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _flag_names() -> list[str]:
    return [name for name in dir(sys.flags) if name[0] != "_" and name not in {"count", "index"}]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

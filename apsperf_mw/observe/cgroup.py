"""What the container may use: limits of memory and CPU by cgroup v1 and v2 (Linux)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Version 1 says "no limit" with a number near 2^63.
MOST_BYTES = 1 << 62


class Limits(NamedTuple):
    """The container's limits, and the memory that counts against its own; None: there is none."""

    memory_bytes: int | None = None
    used_bytes: int | None = None
    cpus: float | None = None


def limits(root: Path = Path("/")) -> Limits:
    """The lowest limits of the process's cgroup and those above it."""
    lowest: int | None = None
    used: int | None = None
    cpus: float | None = None
    for group in groups(root):
        limit = memory_limit(group)
        if limit is not None and (lowest is None or limit < lowest):
            lowest, used = limit, memory_used(group)
        quota = cpu_quota(group)
        if quota is not None:
            cpus = quota if cpus is None else min(cpus, quota)
    return Limits(lowest, used, cpus)


def groups(root: Path) -> Iterator[Path]:
    """The directories of the process's groups, each before those above it."""
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        for kind in kinds.split(",") if number != "0" else [""]:
            if kind not in {"", "memory", "cpu"}:
                continue
            top = base / kind if kind else base
            # Within a namespace the path may be one that is only seen from outside.
            here = top / path.strip("/")
            while here != top and here.is_relative_to(top):
                yield here
                here = here.parent
            yield top


def memory_limit(group: Path) -> int | None:
    """The bytes that the group may use."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        limit = _number(_read(group / name))
        if limit is not None and limit < MOST_BYTES:
            return limit
    return None


def memory_used(group: Path) -> int | None:
    """The bytes that the group uses, without cached files that the kernel would give up first."""
    for name, key in (
        ("memory.current", "inactive_file"),
        ("memory.usage_in_bytes", "total_inactive_file"),
    ):
        used = _number(_read(group / name))
        if used is not None:
            return max(used - _stat(_read(group / "memory.stat"), key), 0)
    return None


def cpu_quota(group: Path) -> float | None:
    """How many CPUs the group may keep busy."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota = _read(group / "cpu.cfs_quota_us")
        period = _read(group / "cpu.cfs_period_us")
    allowed, every = _number(quota), _number(period)
    if allowed is None or every is None or allowed <= 0 or every <= 0:
        return None
    return allowed / every


def _stat(text: str, key: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return _number(value) or 0
    return 0


def _number(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - tests of apps replace the other
            return file.read(65_536).decode("ascii", "replace").strip()
    except OSError:
        return ""

"""The directory of the file driver: of this user alone, and locked while it is opened."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_AGAIN_S = 0.001


def directory_of(url: str) -> Path:
    """The directory that a `file:` URL names."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or path.strip("/") == "":
        raise DriverError(f"{url}: accepted: file:///absolute/directory")
    if "\0" in path or "$" in path:
        raise DriverError(f"{url}: a directory's name must not hold NUL or $")
    return Path(path)


def prepare(path: Path) -> None:
    """Make the directory where it is not there; `DriverError` where it is not safe.

    Safe is a directory, not a link to one, that this user owns and nobody else may enter, whose
    parents are not writable for everybody, unless their sticky bit is set.
    """
    try:
        _make(path)
        found = path.lstat()
    except OSError as fault:
        raise DriverError(f"{path} cannot be used as the cache's directory: {fault}") from fault
    why = _why_not(found)
    if why:
        raise DriverError(f"{path} {why}; accepted: a directory of this user alone (chmod 700)")
    for parent in path.parent.resolve().joinpath("x").parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise DriverError(
                f"{path} is not safe: everybody may write to {parent}; set its sticky bit, or "
                "take another directory"
            )


def _make(path: Path) -> None:
    if path.is_symlink() or path.exists():
        return
    _make(path.parent)
    with suppress(FileExistsError):  # another process was faster
        path.mkdir(0o700)


def _why_not(found: os.stat_result) -> str:
    if not stat.S_ISDIR(found.st_mode):
        return "is a symbolic link" if stat.S_ISLNK(found.st_mode) else "is not a directory"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    return f"has mode {stat.S_IMODE(found.st_mode):o}" if found.st_mode & 0o077 else ""


@contextmanager
def locked(directory: Path, timeout_s: float) -> Iterator[None]:
    """No other process opens or replaces the database meanwhile; `DriverError` in time."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / "lock", flags, 0o600)
    try:
        _lock(descriptor, directory, monotonic() + timeout_s)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= deadline:
                raise DriverError(f"{directory} is being opened by another process") from None
            sleep(LOCK_AGAIN_S)
        else:
            return


def inode(path: Path | str) -> int:
    """Which file is at the path; 0 where there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_ino  # noqa: PTH116 - each read does it
    except OSError:
        return 0

"""The file by which the workers of a host tell each other of purges: bounded, private, whole.

It begins with a line that names its generation. Lines are appended under a lock; past its bound
the file is replaced by an empty one of another generation.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

AUTO = "auto"
MOST_BYTES = 1_048_576
MARK = b'{"apsperf-purges":1,"generation":"'
GENERATION_BYTES = 16
HEAD_BYTES = len(MARK) + 2 * GENERATION_BYTES + len(b'"}\n')
# Whoever holds the lock holds it for one short write.
LOCK_S = 1.0
LOCK_AGAIN_S = 0.001
MOST_TRIES = 8

_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in its place must not hold us


class State(NamedTuple):
    """What tells whether a file is the one that was seen last, and as long."""

    device: int
    inode: int
    size: int
    changed_ns: int


class Page(NamedTuple):
    """A file's generation, its state, and its bytes from where it was read."""

    generation: bytes
    state: State
    rest: bytes


class PurgeFile:
    """The file at a path, or by `auto` the one of this directory and namespace.

    No descriptor is kept, so that a fork shares nothing. What cannot be done raises `OSError`;
    so does what is not a regular file of this user, or what others may write to.
    """

    def __init__(self, setting: str, namespace: str) -> None:
        self._setting = setting
        self._identity = f"{_here()}\0{namespace}"

    @cached_property
    def path(self) -> Path:
        """Where the file is; makes the private directory of `auto`."""
        if self._setting != AUTO:
            return Path(self._identity.partition("\0")[0], self._setting)
        from hashlib import blake2b

        name = blake2b(os.fsencode(self._identity), digest_size=16).hexdigest()
        return private_directory() / f"{name}.purges"

    @cached_property
    def _text(self) -> str:
        """Where it is, for the system: each request asks."""
        return str(self.path)

    def state(self) -> State | None:
        """Its state, or None where it is not there."""
        try:
            return _state(os.lstat(self._text))
        except FileNotFoundError:
            return None

    def create(self) -> None:
        """Make an empty one, whole from its first moment, unless there is one."""
        made = self._fresh()
        try:
            with suppress(FileExistsError):
                self.path.hardlink_to(made)
        finally:
            made.unlink()

    def read(self, start: int) -> Page:
        """What stands in it from `start` on."""
        descriptor = self._open(os.O_RDONLY)
        try:
            head = _head(descriptor)
            state = _state(os.fstat(descriptor))
            start = max(start, HEAD_BYTES)
            wanted = min(state.size - start, MOST_BYTES)
            rest = os.pread(descriptor, wanted, start) if wanted > 0 else b""
        finally:
            os.close(descriptor)
        return Page(head, state, rest)

    def append(self, line: bytes) -> None:
        """Add a line, whole or not at all; a file that is full is replaced instead."""
        with self._locked() as descriptor:
            _head(descriptor)
            size = os.fstat(descriptor).st_size
            if size + len(line) >= MOST_BYTES:
                self._fresh().replace(self.path)
                return
            if os.pread(descriptor, 1, size - 1) != b"\n":  # somebody died while writing
                line = b"\n" + line
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(descriptor, size)
                raise

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """A descriptor of the file that is at the path, under its lock."""
        for _ in range(MOST_TRIES):
            if self.state() is None:
                self.create()
            descriptor = self._open(os.O_RDWR | os.O_APPEND)
            try:
                _lock(descriptor)
                if _same(_state(os.fstat(descriptor)), self.state()):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)
        raise OSError(errno.EAGAIN, "the file is replaced again and again")

    def _open(self, flags: int) -> int:
        descriptor = os.open(self.path, flags | _OPEN)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not _is_ours(found, 0o022):
            os.close(descriptor)
            raise PermissionError(errno.EPERM, f"{self.path} is not a file of this user alone")
        return descriptor

    def _fresh(self) -> Path:
        """An empty file of a new generation beside ours."""
        made = self.path.with_name(f"{self.path.name}.{os.urandom(8).hex()}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
        try:
            os.write(descriptor, b'%b%b"}\n' % (MARK, os.urandom(GENERATION_BYTES).hex().encode()))
        except OSError:
            made.unlink()
            raise
        finally:
            os.close(descriptor)
        return made


def private_directory() -> Path:
    """Ours below the system's directory for temporary files; `OSError` where it is not safe.

    No other place is the same for a service and for the shell of its user.
    """
    from tempfile import gettempdir

    path = Path(gettempdir(), f"apsperf-{os.geteuid()}")
    with suppress(FileExistsError):
        path.mkdir(0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _is_ours(found, 0o077):
        raise PermissionError(errno.EPERM, f"{path} is not a directory of this user alone")
    return path


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return ""


def _state(found: os.stat_result) -> State:
    return State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _same(one: State, other: State | None) -> bool:
    return other is not None and one[:2] == other[:2]


def _is_ours(found: os.stat_result, forbidden: int) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & forbidden


def _head(descriptor: int) -> bytes:
    """The line that names the generation; `OSError` for a file of another kind."""
    head = os.pread(descriptor, HEAD_BYTES, 0)
    if len(head) != HEAD_BYTES or not head.startswith(MARK):
        raise OSError(errno.EINVAL, "it is not a file of purges")
    return head


def _lock(descriptor: int) -> None:
    """Take the file's lock, in time."""
    deadline = monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= deadline:
                raise
            sleep(LOCK_AGAIN_S)
        else:
            return

"""Damage, poison, killed writers and full disks do to the file driver no worse than a miss."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from diskcache import Cache

from apsperf_mw import DriverError
from apsperf_mw.drivers.base import LATER
from apsperf_mw.drivers.file import FileDriver
from apsperf_mw.testing.contract.base import Child

MINUTE_S = 60.0
KILLS = int(os.environ.get("N") or 8)
LARGE = bytes(range(256)) * 400
VALUES = {b"small": b"v" * 40, b"middle": b"m" * 5000, b"large": LARGE}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def filled(place: Path) -> Iterator[FileDriver]:
    driver = FileDriver(place)
    driver.set_many(VALUES, MINUTE_S)
    yield driver
    driver.close()


def alter(place: Path, statement: str, *args: Any) -> None:
    """Do to the database what somebody with its password might."""
    database = sqlite3.connect(place / "cache.db")
    database.execute(statement, args)
    database.commit()
    database.close()


# Poison


def bomb_of(trace: Path) -> bytes:
    """What makes a directory of whoever unpickles it."""
    return b"cos\nmkdir\n(V%b\ntR." % os.fsencode(trace)


def test_the_poison_is_live(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with Cache(str(tmp_path / "other")) as trusting:
        trusting.set("key", b"value")
        alter(tmp_path / "other", "UPDATE Cache SET mode = 4, value = ?", bomb_of(trace))
        trusting.get("key")
    assert trace.exists()


@pytest.mark.parametrize("mode", [0, 3, 4, 5, -1, None, "four", b"\x04", 1.5])
@pytest.mark.parametrize("name", ["small", "large"])
def test_no_row_is_unpickled(
    filled: FileDriver, place: Path, tmp_path: Path, mode: Any, name: str
) -> None:
    trace = tmp_path / "trace"
    bomb = bomb_of(trace)
    for path in place.glob("*.val"):
        path.write_bytes(bomb)
    row = "UPDATE Cache SET mode = ?, value = ?" if name == "small" else "UPDATE Cache SET mode = ?"
    args = (mode, bomb) if name == "small" else (mode,)
    alter(place, f"{row} WHERE tag = ?", *args, name.encode())
    for driver in (filled, FileDriver(place)):
        assert driver.get(name.encode()) is None
        assert driver.quick_get(name.encode()) in (None, LATER)
        assert driver.get(b"middle") == VALUES[b"middle"]
    filled.clear()
    assert not trace.exists()


def test_no_key_is_unpickled(filled: FileDriver, place: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    alter(place, "UPDATE Cache SET key = ? || rowid, raw = 0", bomb_of(trace))
    assert filled.get_many(list(VALUES)) == {}
    filled.stats()
    filled.clear()
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../secret", "secret", "./x.val", "a/../../secret", "", "\0", "x" * 5000],
)
def test_no_name_leads_elsewhere(
    filled: FileDriver, place: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (place / "secret").write_text("secret")
    alter(
        place, "UPDATE Cache SET filename = ?, mode = 2, value = NULL WHERE tag = ?", name, b"large"
    )
    assert filled.get(b"large") is None
    assert filled.counts["refused_foreign"] == 1
    filled.delete(b"large")  # removes nothing that is not ours
    assert (tmp_path / "secret").exists()
    assert (place / "secret").exists()
    assert filled.set(b"large", LARGE, MINUTE_S)
    assert filled.get(b"large") == LARGE


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "."])
def test_no_link_is_followed(filled: FileDriver, place: Path, target: str) -> None:
    (value,) = place.glob("*.val")
    value.unlink()
    value.symlink_to(target)
    assert filled.get(b"large") is None
    assert filled.set(b"large", LARGE, MINUTE_S)
    assert filled.get(b"large") == LARGE


def test_a_file_larger_than_the_store_is_not_read(filled: FileDriver, place: Path) -> None:
    (value,) = place.glob("*.val")
    os.truncate(value, 2**40)
    assert filled.get(b"large") is None
    assert filled.counts["refused_foreign"] == 1


def test_a_pipe_in_a_files_place_holds_nobody(filled: FileDriver, place: Path) -> None:
    (value,) = place.glob("*.val")
    value.unlink()
    os.mkfifo(value)
    assert filled.get(b"large") is None


@pytest.mark.parametrize(
    ("statement", "args"),
    [
        ("INSERT INTO Settings VALUES ('sqlite_journal_mode; ATTACH', 'x')", ()),
        ("INSERT INTO Settings VALUES ('clear', 'x')", ()),
        ("INSERT INTO Settings VALUES ('disk_filename', 'x')", ()),
        ("UPDATE Settings SET value = 'none; x' WHERE key = 'eviction_policy'", ()),
        ("UPDATE Settings SET value = 'x' WHERE key = 'size'", ()),
        ("CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END", ()),
        ("CREATE VIEW v AS SELECT 1", ()),
        ("DROP TABLE Settings", ()),
        ("DROP INDEX Cache_key_raw", ()),
        ("ALTER TABLE Cache RENAME TO Elsewhere", ()),
    ],
)
def test_a_database_that_is_not_ours_gives_way_to_an_empty_one(
    filled: FileDriver, place: Path, statement: str, args: tuple[Any, ...]
) -> None:
    filled.close()
    alter(place, statement, *args)
    driver = FileDriver(place)
    assert driver.get_many(list(VALUES)) == {}
    assert driver.stats()["resets"] == 1
    assert driver.set(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"
    driver.close()


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_planted_link_for_the_database_is_not_followed(
    place: Path, tmp_path: Path, end: str
) -> None:
    place.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"keep me")
    (place / f"cache.db{end}").symlink_to(elsewhere)
    driver = FileDriver(place)
    assert driver.set(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"
    driver.close()
    assert elsewhere.read_bytes() == b"keep me"


def test_a_value_moved_to_another_key_is_a_miss(filled: FileDriver, place: Path) -> None:
    alter(place, "UPDATE Cache SET value = (SELECT value FROM Cache WHERE tag = ?) WHERE tag = ?",
          b"small", b"middle")  # fmt: skip
    assert filled.get(b"middle") is None
    assert filled.counts["refused_damaged"] == 1


# Damage


@pytest.mark.parametrize("cut", [0, 1, 47, 48, 1000, -1])
def test_a_truncated_file_is_a_miss(filled: FileDriver, place: Path, cut: int) -> None:
    (value,) = place.glob("*.val")
    value.write_bytes(value.read_bytes()[:cut])
    assert filled.get(b"large") is None
    assert filled.counts["refused_damaged"] == 1


def test_a_file_that_is_gone_is_a_miss(filled: FileDriver, place: Path) -> None:
    (value,) = place.glob("*.val")
    value.unlink()
    assert filled.get(b"large") is None
    assert not filled.delete(b"large")


def test_no_byte_of_a_frame_can_change_unseen(filled: FileDriver, place: Path) -> None:
    """Every byte of a value in the database, and every one of a value's file."""
    with closing(sqlite3.connect(place / "cache.db")) as database:
        (found,) = database.execute("SELECT value FROM Cache WHERE tag = ?", (b"small",))
    frame: bytes = found[0]
    for at in range(len(frame)):
        for bit in (1, 0x80):
            bad = frame[:at] + bytes([frame[at] ^ bit]) + frame[at + 1 :]
            alter(place, "UPDATE Cache SET value = ? WHERE tag = ?", bad, b"small")
            assert filled.get(b"small") is None
    (value,) = place.glob("*.val")
    whole = value.read_bytes()
    for at in [*range(60), *range(60, len(whole), 997)]:
        value.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert filled.get(b"large") is None
    value.write_bytes(whole)
    assert filled.get(b"large") == LARGE


@pytest.mark.fuzz
@pytest.mark.parametrize("bit", [0x01, 0xFF])
def test_no_byte_of_the_database_can_change_with_worse_than_a_miss(
    place: Path, tmp_path: Path, bit: int
) -> None:
    driver = FileDriver(place)
    small = {b"a": b"v" * 40, b"b": b"w" * 40}
    driver.set_many(small, MINUTE_S)
    driver.close()
    database = place / "cache.db"
    whole = database.read_bytes()
    positions = [at for at in range(len(whole)) if whole[at] or at % 64 == 0]
    step = max(len(positions) // 250, 1) if not os.environ.get("N") else 1
    for at in positions[:100:5] + positions[100::step]:
        database.unlink()
        for end in ("-wal", "-shm"):
            (place / f"cache.db{end}").unlink(missing_ok=True)
        database.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        database.chmod(0o600)
        driver = FileDriver(place)
        for key, value in small.items():
            assert driver.get(key) in (value, None), at
            assert driver.quick_get(key) in (value, None, LATER), at
        assert driver.set(b"c", b"x", MINUTE_S), at
        assert driver.get(b"c") in (b"x", None), at
        driver.close()


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(8192), b"SQLite format 3\0" + bytes(84)])
def test_junk_in_the_databases_place_gives_way(place: Path, junk: bytes) -> None:
    place.mkdir(mode=0o700)
    (place / "cache.db").write_bytes(junk)
    (place / "cache.db-wal").write_bytes(junk)
    driver = FileDriver(place)
    assert driver.set(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"
    driver.close()


def test_a_database_damaged_in_use_gives_way_for_all_processes(place: Path) -> None:
    driver, other = FileDriver(place), FileDriver(place)
    driver.set(b"k", b"v", MINUTE_S)
    for start in (0, 4096):
        (place / "cache.db").write_bytes((place / "cache.db").read_bytes()[:start] + bytes(40_000))
        (place / "cache.db-wal").write_bytes(bytes(40_000))
        assert driver.get(b"k") in (b"v", None)
        for number in range(5):
            other.set(b"%d" % number, b"v", MINUTE_S)
            assert driver.get(b"%d" % number) == b"v"
            driver.set(b"%d" % number, b"w", MINUTE_S)
            assert other.get(b"%d" % number) == b"w"
    assert driver.counts["resets"] + other.counts["resets"] >= 1
    for each in (driver, other):
        each.close()


# Killed


WRITER = """
import sys
from pathlib import Path
from apsperf_mw import DriverError
from apsperf_mw.drivers.base import LATER
from apsperf_mw.drivers.file import FileDriver
driver = FileDriver(Path(sys.argv[1]), max_bytes=4_000_000)
print("ready", flush=True)
number = 0
while True:
    number += 1
    for size in (10, 3000, 60_000, 200_000):
        key = b"%d %d" % (number % 20, size)
        driver.set(key, (b"%d;" % number) * (size // 5), 60)
    driver.bump(b"space", [b"%d" % number])
    print(number, flush=True)
"""


@pytest.mark.fuzz
def test_who_is_killed_while_writing_leaves_nothing_half(place: Path) -> None:
    for _ in range(KILLS):
        told = killed_amid_writes(place)
        driver = FileDriver(place, max_bytes=4_000_000)
        for number in range(20):
            for size in (10, 3000, 60_000, 200_000):
                value = driver.get(b"%d %d" % (number, size))
                if value is not None:
                    mark = value.partition(b";")[0]
                    assert value == (mark + b";") * (size // 5)
                    assert int(mark) % 20 == number
        if told:  # what was told to be done is there
            assert driver.versions(b"space", 0).generation
        assert driver.set(b"k", b"v", MINUTE_S)
        assert driver.counts["resets"] == 0
        assert driver.counts["refused_damaged"] == 0
        driver.close()


def killed_amid_writes(place: Path) -> int:
    """Start a writer, kill it in the midst of something, and say what it had done."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    for _ in range(os.urandom(1)[0] % 8):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = writer.stdout.read()
    writer.stdout.close()
    writer.wait()
    return told.count(b"\n")


def test_a_process_that_is_stopped_amid_a_write_lets_others_read(place: Path) -> None:
    driver = FileDriver(place, timeout_s=0.1)
    driver.set(b"k", b"v", MINUTE_S)
    reads, writes = os.pipe()

    def hang() -> bytes:
        with FileDriver(place).exclusive():
            os.write(writes, b"in")
            os.kill(os.getpid(), signal.SIGSTOP)
        return b"out"

    child = Child(hang)
    assert os.read(reads, 2) == b"in"
    os.waitpid(child.pid, os.WUNTRACED)
    assert driver.quick_get(b"k") == b"v"
    assert driver.get(b"k") == b"v"
    with pytest.raises(Exception, match="locked by another process"):
        driver.set(b"k", b"new", MINUTE_S)
    os.kill(child.pid, signal.SIGCONT)
    assert child.result() == b"out"
    assert driver.set(b"k", b"new", MINUTE_S)
    driver.close()
    os.close(reads)
    os.close(writes)


# Many that open it at once


def test_processes_may_open_and_close_a_new_directory_all_at_once(tmp_path: Path) -> None:
    """Whoever closes the database last takes its log away, and locks all of it meanwhile."""

    def child(place: Path, who: int) -> bytes:
        resets = 0
        for number in range(3):
            mine = FileDriver(place)
            assert mine.set(b"%d %d" % (who, number), b"v", MINUTE_S)
            mine.close()
            resets += mine.counts["resets"]
        return b"%d" % resets

    for place in (tmp_path / str(number) for number in range(10)):
        children = [Child(partial(child, place, who)) for who in range(6)]
        assert [each.result() for each in children] == [b"0"] * 6
        driver = FileDriver(place)
        assert driver.stats()["entries"] == 6 * 3
        driver.close()


def test_who_opens_it_waits_for_who_has_locked_all_of_it(place: Path, filled: FileDriver) -> None:
    filled.close()
    other = sqlite3.connect(place / "cache.db", isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode = exclusive")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DriverError, match="locked by another process"):
        FileDriver(place, timeout_s=0.05)
    leaves = Timer(0.1, other.close)
    leaves.start()
    driver = FileDriver(place, timeout_s=10)
    assert driver.get(b"small") == VALUES[b"small"]
    assert driver.counts["resets"] == 0
    driver.close()
    leaves.join()


# Full


@pytest.mark.parametrize("limit", [30_000, 90_000, 300_000])
def test_a_full_disk_serves_what_is_there_and_keeps_nothing_half(place: Path, limit: int) -> None:
    driver = FileDriver(place)
    driver.set(b"old", b"v", MINUTE_S)
    driver.close()

    def child() -> bytes:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        mine = FileDriver(place)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        failed = 0
        for number in range(60):
            key, value = b"%d" % number, bytes([number]) * (number * 9000 + 1)
            try:
                mine.set(key, value, MINUTE_S)
            except (OSError, sqlite3.Error):
                failed += 1
                assert mine.get(key) is None
            else:
                assert mine.get(key) == value
            assert mine.get(b"old") == b"v"
        assert failed > 10
        assert mine.counts["resets"] == 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert mine.set(b"after", b"v", MINUTE_S)  # it recovers by itself
        assert mine.get(b"after") == b"v"
        known = {path.name for path in place.glob("*.val")}
        assert len(known) == sum(mine.get(b"%d" % n) is not None for n in range(4, 60))
        return b"%d" % failed

    assert int(Child(child).result()) > 10
    driver = FileDriver(place)
    assert driver.get(b"old") == b"v"
    driver.close()

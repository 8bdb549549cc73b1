"""The file driver's directory, its bounds, its clock, and how a loop reads it."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apsperf_mw import DriverError, Suite
from apsperf_mw.drivers import file_frame
from apsperf_mw.drivers.base import LATER
from apsperf_mw.drivers.file import FileDriver
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from tests.core.support import fresh, numbered

MINUTE_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def opened(place: Path, **options: Any) -> FileDriver:
    return FileDriver(place, **options)


@pytest.fixture
def driver(place: Path) -> Iterator[FileDriver]:
    driver = opened(place)
    yield driver
    driver.close()


# The directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_look_in(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        driver = opened(tmp_path / "new" / "cache")
        driver.set(b"k", bytes(100_000), MINUTE_S)
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == mode(tmp_path / "new" / "cache") == 0o700
    files = list((tmp_path / "new" / "cache").iterdir())
    assert {path.suffix for path in files} == {"", ".db", ".db-shm", ".db-wal", ".val"}
    assert all(mode(path) & 0o077 == 0 for path in files)
    driver.close()


def test_a_directory_that_others_may_enter_is_refused(place: Path) -> None:
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    with pytest.raises(DriverError, match=r"has mode 755; accepted: .* \(chmod 700\)"):
        opened(place)


def test_a_link_in_its_place_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DriverError, match="is a symbolic link"):
        opened(place)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_in_its_place_is_refused(place: Path) -> None:
    place.write_text("something")
    with pytest.raises(DriverError, match="is not a directory"):
        opened(place)
    with pytest.raises(DriverError, match="cannot be used"):
        opened(place / "below")


def test_a_parent_that_everybody_writes_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(DriverError, match=r"everybody may write to .*sticky"):
        opened(tmp_path / "cache")
    tmp_path.chmod(0o1777)
    opened(tmp_path / "cache").close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(place: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, 12345, 12345)
    with pytest.raises(DriverError, match="belongs to user 12345"):
        opened(place)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://cache", ["file:///absolute/directory"]),
        ("file:///", ["file:///absolute/directory"]),
        ("file://host/tmp/x", ["file:///absolute/directory"]),
        ("file:///tmp/a%00b", ["NUL"]),
        ("file:///tmp/$HOME", ["$"]),
        ("file:///tmp/x?max_bytes=1000", ["max_bytes", "1048575"]),
        ("file:///tmp/x?max_bytes=x", ["max_bytes", "'x'"]),
        ("file:///tmp/x?ttl=1", ["ttl", "max_bytes"]),
    ],
)
def test_a_bad_url_is_refused_with_what_is_accepted(url: str, words: list[str]) -> None:
    with pytest.raises(DriverError) as raised:
        Registry({}).get(url)
    assert all(word in str(raised.value) for word in words)


def test_a_name_with_spaces_and_umlauts_is_taken(tmp_path: Path) -> None:
    driver = Registry({}).get(f"file://{tmp_path}/a%20caché#1?x".replace("#1?x", "%23"))
    assert isinstance(driver, FileDriver)
    assert (tmp_path / "a caché#").is_dir()
    driver.close()


def test_a_directory_that_is_removed_is_made_again(driver: FileDriver, place: Path) -> None:
    driver.set(b"k", b"v", MINUTE_S)
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    assert driver.get(b"k") is None
    assert driver.set(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"


# Bounds


def test_large_and_small_values_share_one_bound(place: Path) -> None:
    most = 4_000_000
    driver = opened(place, max_bytes=most)
    for number in range(400):
        assert driver.set(b"small%d" % number, bytes(3000), MINUTE_S)
    for number in range(30):
        assert driver.set(b"large%d" % number, bytes(900_000), MINUTE_S)
        assert on_disk(place) <= most * 1.5 + 5_000_000  # SQLite's log has a bound of its own
        assert driver.stats()["size_bytes"] <= most
    assert driver.stats()["evictions"] > 400
    assert driver.get(b"large29") == bytes(900_000)
    driver.close()


def on_disk(place: Path) -> int:
    return sum(path.stat().st_size for path in place.iterdir())


def test_versions_outlive_an_eviction(place: Path) -> None:
    driver = opened(place, max_bytes=1_100_000)
    was = driver.bump(b"space", [b"tag"])
    for number in range(60):
        driver.set(b"%d" % number, bytes(100_000), MINUTE_S)
    assert driver.stats()["evictions"] > 20
    assert driver.versions(b"space", 0).bumps == ((b"tag", was.position),)
    driver.close()


def test_the_expired_goes_first(place: Path) -> None:
    driver = opened(place, max_bytes=1_100_000)
    driver.set(b"first", b"v", MINUTE_S)
    for number in range(40):
        driver.set(b"%d" % number, bytes(100_000), 0.001)
    assert driver.get(b"first") == b"v"
    driver.close()


def test_a_key_too_long_for_a_row_is_declined(driver: FileDriver) -> None:
    assert not driver.set(b"k" * 600_000, b"v", MINUTE_S)
    assert driver.get(b"k" * 600_000) is None
    assert driver.set(b"k" * 60_000, b"v", MINUTE_S)
    assert driver.get(b"k" * 60_000) == b"v"


def test_files_that_nobody_knows_are_swept_when_they_are_old(place: Path) -> None:
    opened(place).close()
    old, young, foreign = (place / name for name in ("a" * 32 + ".val", "b" * 32 + ".val", "x.val"))
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    os.utime(foreign, (1, 1))
    opened(place).close()
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


# The clock


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_jump_of_the_wall_clock_changes_nothing(
    driver: FileDriver, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    assert file_frame.boot()
    driver.set(b"k", b"v", 0.15)
    driver.set(b"long", b"v", MINUTE_S)
    before = __import__("time").time
    monkeypatch.setattr("time.time", lambda: before() + jump_s)
    assert driver.get(b"k") == b"v"
    assert driver.get(b"long") == b"v"
    __import__("time").sleep(0.2)
    assert driver.get(b"k") is None
    assert driver.get(b"long") == b"v"
    assert driver.add(b"k", b"again", MINUTE_S)
    assert driver.delete(b"long")
    monkeypatch.undo()
    assert driver.get(b"long") is None


def test_without_such_a_clock_nothing_is_served_past_its_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the wall clock counts: set back, what was made in its future is not served."""
    monkeypatch.setattr("apsperf_mw.drivers.file_frame.boot", lambda: 0)
    now = [1_800_000_000.0]
    monkeypatch.setattr("apsperf_mw.drivers.file_frame.time.time", lambda: now[0])
    frame = file_frame.framed(b"k", b"v", 10)
    for moved, found in ((0.0, b"v"), (9.9, b"v"), (-0.5, b"v"), (10, None), (-3600, None)):
        now[0] = 1_800_000_000.0 + moved
        assert file_frame.unframed(b"k", frame) == (found, True)


def test_another_life_of_the_machine_begins_with_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = opened(place)
    driver.set(b"k", bytes(100_000), MINUTE_S)
    driver.close()
    with sqlite3.connect(place / "cache.db") as database:
        database.execute("PRAGMA user_version = 5")
    database.close()
    driver = opened(place)
    assert driver.get(b"k") is None
    assert driver.stats()["resets"] == 1
    assert not list(place.glob("*.val"))
    driver.close()


# Behind the shells


@pytest.fixture(params=["asgi", "asgi-trio", "wsgi"])
def wrap(request: pytest.FixtureRequest, place: Path) -> Any:
    def wrap(app: Any, **cache: Any) -> Client:
        suite = Suite(cache={"driver": f"file://{place}", **cache})
        if request.param == "wsgi":
            return WSGIClient(suite, app)
        return ASGIClient(suite, app, "trio" if request.param.endswith("trio") else "asyncio")

    return wrap


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("compression", ["none", "zlib", "zstd"])
def test_pages_are_served_from_files(wrap: Any, size: int, compression: str) -> None:
    client = wrap(lambda _: fresh(body=[bytes(size)]), compression=compression)
    assert client.ask().cache.stored
    hit = client.ask()
    assert (hit.body, hit.cache.hit) == (bytes(size), True)
    assert client.ask(method="POST").status == 200
    assert not client.ask().cache.hit
    assert not client.suite.faults.counts
    client.suite.close()


def test_another_suite_on_the_directory_serves_the_same(wrap: Any) -> None:
    first, second = wrap(numbered()), wrap(numbered())
    first.ask()
    assert second.ask().body == b"answer 1"
    assert second.ask().cache.hit
    for client in (first, second):
        client.suite.close()


def test_a_loop_reads_small_values_itself_and_leaves_the_rest_to_threads(
    driver: FileDriver, place: Path
) -> None:
    driver.set(b"small", b"v", MINUTE_S)
    driver.set(b"large", bytes(100_000), MINUTE_S)
    assert driver.quick_get(b"small") == b"v"
    assert driver.quick_get(b"none") is None
    assert driver.quick_get(b"large") is LATER
    other = sqlite3.connect(place / "cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert driver.quick_get(b"small") == b"v"  # who writes keeps nobody from reading
    other.execute("ROLLBACK")
    other.close()


def test_a_loop_does_not_wait_for_whoever_locks_the_database(tmp_path: Path) -> None:
    driver = opened(tmp_path / "locked", timeout_s=0.05)
    driver.set(b"k", b"v", MINUTE_S)
    driver.close()
    other = sqlite3.connect(tmp_path / "locked" / "cache.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("DELETE FROM Cache WHERE rowid = -1")
    assert driver.quick_get(b"k") is LATER
    with pytest.raises((DriverError, sqlite3.OperationalError), match="locked"):
        driver.get(b"k")
    with pytest.raises((DriverError, sqlite3.OperationalError), match="locked"):
        driver.set(b"k", b"v", MINUTE_S)
    other.execute("COMMIT")
    other.close()
    assert driver.get(b"k") == b"v"
    driver.close()

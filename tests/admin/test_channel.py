"""The file by which purges reach other processes: what it takes, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import PurgeError, SettingError, Suite
from apsperf_mw.cache import channel as channels
from apsperf_mw.cache.channel import ALL, Channel, decoded, encoded
from apsperf_mw.cache.channel_file import MOST_BYTES, PurgeFile, private_directory
from apsperf_mw.cache.tags import Purge
from apsperf_mw.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = {"tags": [], "urls": [], "prefixes": [], "everything": False, "hard": False}
SONG = Purge(("song",))


class Worker:
    """A process's end of the file; its clock is moved by looking."""

    def __init__(self, setting: str = "auto", namespace: str = "") -> None:
        self.purges: list[Purge] = []
        self.faults = Faults()
        self.now = 0.0
        self.file = PurgeFile(setting, namespace)
        self.channel = Channel(self.file, self.purges.append, self.faults)

    def look(self) -> list[Purge]:
        """What is carried out at the next look."""
        self.now = max(self.now + 1, self.channel.due)
        before = len(self.purges)
        self.channel.look(self.now)
        return self.purges[before:]


def line(by: str = "another", **fields: object) -> bytes:
    return json.dumps({"by": by, **OTHER, **fields}).encode() + b"\n"


def write(worker: Worker, data: bytes, *, at: int | None = None) -> None:
    with worker.file.path.open("r+b") as file:
        file.seek(*(0, os.SEEK_END) if at is None else (at,))
        file.write(data)


@pytest.fixture
def worker() -> Worker:
    made = Worker()
    assert made.look() == []
    return made


def test_what_another_process_writes_is_carried_out_once(worker: Worker) -> None:
    write(worker, line(tags=["song"]) + line(urls=["/a"], hard=True))
    assert worker.look() == [SONG, Purge(urls=("/a",), hard=True)]
    assert worker.look() == []


def test_what_was_written_before_the_first_look_is_passed_over(worker: Worker) -> None:
    write(worker, line(tags=["song"]))
    late = Worker()
    assert late.look() == []
    write(worker, line(tags=["album"]))
    assert late.look() == [Purge(("album",))]


def test_a_process_does_not_carry_out_its_own_purges_twice(worker: Worker) -> None:
    worker.channel.publish(SONG)
    assert worker.look() == []
    assert line(tags=["song"]).partition(b",")[2].strip() in worker.file.path.read_bytes()


def test_a_purge_that_is_being_written_waits_for_its_end(worker: Worker) -> None:
    whole = line(tags=["song"])
    write(worker, whole[:20])
    assert worker.look() == []
    write(worker, whole[20:])
    assert worker.look() == [SONG]


def test_a_line_that_its_writer_did_not_finish_purges_everything(worker: Worker) -> None:
    write(worker, line(tags=["song"])[:20])
    assert worker.look() == []
    Worker().channel.publish(SONG)
    assert worker.look() == [ALL]  # the line after it is this process's own


@pytest.mark.parametrize(
    "bad",
    [
        b"\n",
        b"rubbish\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        line(tags=[""]),
        line(tags="song"),
        line(urls=["no url"]),
        line(more=1),
        json.dumps({"by": "another", **OTHER}).encode() + b"\n",
    ],
)
def test_a_line_that_cannot_be_read_purges_everything(worker: Worker, bad: bytes) -> None:
    write(worker, bad + line(tags=["song"]))
    assert worker.look() == [ALL, SONG]


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert decoded(data, "me") is None or isinstance(decoded(data, "me"), Purge)


@given(
    st.lists(st.text(st.characters(), min_size=1), max_size=5),
    st.booleans(),
)
def test_any_tags_come_through(tags: list[str], hard: bool) -> None:
    what = Purge((*tags, "one"), hard=hard)
    data = encoded(what)
    assert data.count(b"\n") == 1
    assert decoded(data, "another") == what


def test_tags_that_are_no_valid_text_come_through() -> None:
    what = Purge(("\ud800", "\x00", "\u2028"))
    assert decoded(encoded(what), "another") == what


def test_a_purge_too_long_for_a_line_purges_everything() -> None:
    what = Purge(tuple(f"tag {number}" for number in range(50_000)))
    assert decoded(encoded(what), "another") == Purge(everything=True)
    assert decoded(encoded(what._replace(hard=True)), "another") == ALL


def test_past_its_bound_the_file_is_replaced_and_everything_purged(worker: Worker) -> None:
    other = Worker()
    other.look()
    before = worker.file.path.stat().st_ino
    tags = tuple(f"{'x' * 1000} {number}" for number in range(200))
    for _ in range(6):
        other.channel.publish(Purge(tags))
        assert worker.file.path.stat().st_size <= MOST_BYTES
    assert worker.file.path.stat().st_ino != before
    assert worker.look() == [ALL]
    assert other.look() == [ALL]
    write(worker, line(tags=["song"]))
    assert worker.look() == other.look() == [SONG]


def test_a_file_that_is_gone_or_shorter_purges_everything(worker: Worker) -> None:
    write(worker, line(tags=["song"]))
    worker.look()
    worker.file.path.unlink()
    assert worker.look() == [ALL]
    write(worker, line(tags=["song"]))
    assert worker.look() == [SONG]
    with worker.file.path.open("r+b") as file:
        file.truncate(70)
    assert worker.look() == [ALL]


def test_a_file_that_grew_past_all_bounds_purges_everything(worker: Worker) -> None:
    write(worker, b"x" * (MOST_BYTES + 1))
    assert worker.look() == [ALL]
    Worker().channel.publish(SONG)  # makes a new one
    assert worker.look() == [ALL]
    assert worker.file.path.stat().st_size < 100


def test_a_file_with_another_head_is_no_file_of_ours(worker: Worker) -> None:
    write(worker, b"rubbish", at=0)
    assert worker.look() == [ALL]
    assert worker.look() == [ALL]
    assert worker.faults.counts["the purge channel"] == 2
    with pytest.raises(PurgeError, match="not a file of purges"):
        worker.channel.publish(SONG)
    worker.file.path.unlink()
    assert worker.look() == [ALL]
    assert worker.look() == []


def test_a_file_of_the_user_is_never_written_to(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    worker = Worker(str(theirs))
    assert worker.look() == []
    with pytest.raises(PurgeError):
        worker.channel.publish(SONG)
    assert theirs.read_bytes() == b"precious"


@pytest.mark.parametrize("spoil", ["file", "directory"])
def test_links_are_not_followed(place: Path, tmp_path: Path, spoil: str) -> None:
    victim = tmp_path / "victim"
    worker = Worker()
    if spoil == "directory":
        victim.mkdir(0o700)
        (place / f"apsperf-{os.geteuid()}").symlink_to(victim)
    else:
        victim.write_bytes(b"")
        worker.file.path.symlink_to(victim)
    worker.look()
    with pytest.raises(PurgeError):
        worker.channel.publish(SONG)
    assert worker.faults.counts["the purge channel"] == 1
    assert list(victim.iterdir()) == [] if victim.is_dir() else victim.read_bytes() == b""


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_directory_that_others_may_enter_is_refused(place: Path, mode: int) -> None:
    path = place / f"apsperf-{os.geteuid()}"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(PermissionError, match="this user alone"):
        private_directory()


def test_a_file_that_others_may_write_to_is_refused(worker: Worker) -> None:
    worker.file.path.chmod(0o622)
    with pytest.raises(PurgeError, match="this user alone"):
        worker.channel.publish(SONG)


def test_a_pipe_in_its_place_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    worker = Worker(str(tmp_path / "pipe"))
    worker.look()
    with pytest.raises(PurgeError):
        worker.channel.publish(SONG)


def test_the_directory_and_the_file_are_private(worker: Worker) -> None:
    assert worker.file.path.stat().st_mode & 0o777 == 0o600
    assert worker.file.path.parent.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(r"[0-9a-f]{32}\.purges", worker.file.path.name)
    assert list(worker.file.path.parent.iterdir()) == [worker.file.path]


def test_apps_are_kept_apart_by_namespace_and_directory(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Worker(namespace="blue")
    other.look()
    monkeypatch.chdir(tmp_path)
    elsewhere = Worker()
    elsewhere.look()
    write(other, line(tags=["song"]))
    assert worker.look() == elsewhere.look() == []
    assert other.look() == [SONG]


def test_a_place_that_cannot_be_written_to_is_a_fault_and_the_purge_says_so(tmp_path: Path) -> None:
    worker = Worker(str(tmp_path / "missing" / "purges"))
    assert worker.look() == []
    with pytest.raises(PurgeError, match="in this process, but not in the other workers"):
        worker.channel.publish(SONG)
    assert worker.faults.counts["the purge channel"] == 1
    (tmp_path / "missing").mkdir()
    assert worker.look() == [ALL]  # nobody knows what was missed
    assert worker.look() == []


def test_a_lock_that_somebody_keeps_is_waited_for_in_vain_but_not_for_ever(worker: Worker) -> None:
    with worker.file._locked(), pytest.raises(PurgeError):
        Worker().channel.publish(SONG)


def test_a_process_looks_once_in_ten_milliseconds(worker: Worker) -> None:
    write(worker, line(tags=["song"]))
    suite = Suite()
    assert suite.channel is not None
    suite.channel.look(5.0)
    assert suite.channel.due == pytest.approx(5.0 + channels.EVERY_S)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_a_name_of_its_own_and_hears_its_parent(worker: Worker) -> None:
    reading, writing = os.pipe()
    name = channels.origin()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        heard = False
        try:
            os.read(reading, 1)
            heard = worker.look() == [SONG] and channels.origin() != name
        finally:
            os._exit(0 if heard else 1)
    worker.channel.publish(SONG)
    os.write(writing, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(reading)
    os.close(writing)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_a_thread_looks_leaves_no_lock_behind(worker: Worker) -> None:
    worker.channel._lock.acquire()
    write(worker, line(tags=["song"]))
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        heard = False
        try:
            heard = worker.look() == [SONG]
        finally:
            os._exit(0 if heard else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_with_none_a_purge_stays_in_the_process(place: Path) -> None:
    suite = Suite(cache={"purge_file": "none"})
    assert suite.channel is None
    suite.purge("song")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("value", ["", "a\0b", 1])
def test_a_purge_file_that_cannot_be_is_refused(value: Any) -> None:
    with pytest.raises(SettingError, match="cache.purge_file"):
        Suite(cache={"purge_file": value})


def test_a_suite_that_serves_nothing_makes_no_file(place: Path) -> None:
    Suite().close()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("purges", [lambda suite: suite.purge("song"), None])
def test_a_purge_that_only_this_process_has_heard_of_says_so(
    tmp_path: Path, purges: Callable[[Suite], None] | None
) -> None:
    import anyio

    suite = Suite(cache={"purge_file": str(tmp_path / "missing" / "purges")})
    clock = suite.responses.tags.clock
    with pytest.raises(PurgeError, match="in this process, but not in"):
        purges(suite) if purges is not None else anyio.run(suite.apurge, "song")
    assert suite.responses.tags.clock == clock + 1


def test_what_was_stored_before_it_is_purged_by_another_process_is_not_served() -> None:
    from tests.admin.support import client_of

    client = client_of("wsgi")
    client.ask("/a")
    assert client.ask("/a").cache.hit
    assert client.suite.channel is not None
    with client.suite.channel.file.path.open("ab") as file:
        file.write(line(tags=["/a"]))
    client.suite.channel.due = 0.0
    assert client.ask("/a").body == b"answer 2"

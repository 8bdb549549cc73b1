"""The report, the pace, the request fields and the state of an interrupted run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.warm.fields import check_fields, read_field
from apsperf_mw.warm.origin import Origin
from apsperf_mw.warm.report import (
    MOST_EXAMPLES,
    MOST_REASONS,
    NO_STATUS,
    OTHERS,
    Report,
    Result,
    printable,
    read_status,
)
from apsperf_mw.warm.resume import MAGIC, Progress, StateError, read_progress
from apsperf_mw.warm.run import Pace, Page, Pages, variants

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOP = Origin.parse("http://shop.test")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["apsperf; hit; ttl=287"], ("fresh", "")),
        (["apsperf; fwd=uri-miss; stored"], ("stored", "")),
        (["apsperf; fwd=uri-miss; collapsed; ttl=300"], ("fresh", "")),
        (["apsperf; fwd=stale; fwd-status=304; ttl=60"], ("stored", "")),
        (['apsperf; fwd=uri-miss; detail="private"'], ("not_stored", "private")),
        (['apsperf; fwd=bypass; detail="credential"'], ("not_stored", "credential")),
        (["apsperf; fwd=uri-miss; collapsed=?0"], ("not_stored", "uri-miss")),
        (["apsperf; hit; ttl=-3"], ("not_stored", "stale")),
        (["apsperf"], ("not_stored", "no reason given")),
        (["edge; hit", "apsperf; fwd=uri-miss; stored"], ("stored", "")),
        (["apsperf; hit, apsperf; fwd=uri-miss; stored"], ("stored", "")),
        (["apsperf; fwd=uri-miss; stored, edge; hit"], ("stored", "")),
        (['edge; detail="x, apsperf; hit"'], ("failed", NO_STATUS)),
        (["apsperfect; hit"], ("failed", NO_STATUS)),
        ([], ("failed", NO_STATUS)),
    ],
)
def test_cache_status_is_read(lines: Sequence[str], said: tuple[str, str]) -> None:
    assert read_status(lines) == said


@given(st.lists(st.text() | st.text().map("apsperf;".__add__)))
def test_any_cache_status_is_read(lines: list[str]) -> None:
    kind, _ = read_status(lines)
    assert kind in {"stored", "fresh", "not_stored", "failed"}


def test_a_report_counts_by_reason_and_keeps_the_first_examples() -> None:
    report = Report()
    for number in range(MOST_EXAMPLES + 2):
        report.add(Result(f"/{number}?token=s3cret", "failed", "status 500"))
    tally = report.failed["status 500"]
    assert tally.count == MOST_EXAMPLES + 2
    assert tally.examples == ["/0?token=***", "/1?token=***", "/2?token=***"]


def test_a_report_is_bounded() -> None:
    report = Report()
    for number in range(10 * MOST_REASONS):
        report.add(Result("/" + "x" * 10**5, "failed", f"reason {number}" * 100, "y" * 10**5))
    assert len(report.failed) == MOST_REASONS + 1
    assert report.failed[OTHERS].count == 9 * MOST_REASONS
    assert len(str(report)) < 10**5


def test_a_report_in_words() -> None:
    report = Report(stored=2, fresh=1, resumed=3, limited=True)
    report.add(Result("/b", "not_stored", "private"))
    report.add(Result("/c", "failed", "RuntimeError", "\x1b[31mred"))
    assert str(report).splitlines() == [
        "2 stored",
        "1 fresh in the cache already",
        "3 done by an earlier run",
        "1 not stored",
        "  1 private",
        "    /b",
        "1 failed",
        "  1 RuntimeError",
        "    /c (\\x1b[31mred)",
        "the limit was reached, the rest was left out",
        "ended before all pages had their turn",
    ]


@given(st.text())
def test_nothing_commands_a_terminal(text: str) -> None:
    assert printable(text).isascii()
    assert printable(text).isprintable()


def test_a_pace_spreads_turns_evenly_and_saves_none_up() -> None:
    now, slept = 100.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    async def turns() -> None:
        nonlocal now
        pace = Pace(4, lambda: now, sleep)
        for _ in range(3):
            await pace.turn()
        now += 60
        for _ in range(2):
            await pace.turn()

    asyncio.run(turns())
    assert slept == [0.25, 0.25, 0.25]


def test_turns_taken_at_once_queue_up() -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def turns(rate: float | None) -> None:
        pace = Pace(rate, lambda: 100.0, sleep)
        await asyncio.gather(*(pace.turn() for _ in range(4)))

    asyncio.run(turns(2))
    assert slept == [0.5, 1.0, 1.5]
    asyncio.run(turns(None))
    assert len(slept) == 3


def test_a_name_given_twice_makes_variants() -> None:
    assert list(variants([])) == [()]
    chosen = [("Accept-Encoding", "gzip"), ("accept-encoding", "br"), ("Accept-Language", "de")]
    assert list(variants(chosen)) == [
        (("accept-encoding", "gzip"), ("accept-language", "de")),
        (("accept-encoding", "br"), ("accept-language", "de")),
    ]


def test_a_field_is_read() -> None:
    assert read_field("Accept-Language: de, en;q=0.5") == ("Accept-Language", "de, en;q=0.5")


@pytest.mark.parametrize(
    "text", ["", "Accept", ":x", "A b:c", "A:b\r\nCookie: c", "A:\x00", "A:\u20ac", "A\u00e9:b"]
)
def test_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="accepted: NAME:VALUE"):
        check_fields([read_field(text)])


@pytest.mark.parametrize(
    "name",
    [
        *("Cookie", "Authorization", "Proxy-Authorization", "X-API-Key", "Host", "User-Agent"),
        *("Content-Length", "Transfer-Encoding", "Connection", "Range", "If-None-Match"),
        *("X-HTTP-Method-Override", "Expect", "Upgrade"),
    ],
)
def test_credentials_and_framing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"got {name}; accepted: no cookies, credentials"):
        check_fields([(name.lower() if name == "host" else name, "x")])


def test_variants_are_bounded() -> None:
    fields = [(name, str(value)) for name in "AB" for value in range(9)]
    with pytest.raises(ValueError, match="got 81 combinations; accepted: 64"):
        check_fields(fields)


def test_pages_come_once_each_within_the_limit() -> None:
    report = Report()
    pages = Pages(SHOP, [("A", "1"), ("A", "2")], 4, report)
    pages.add(["/a", "http://shop.test/a", "http://evil.test/", "/b#x", "/c", "/d"])
    assert [page.target for page in pages.pages] == ["/a", "/a", "/b", "/b"]
    assert report.refused["off the host"].count == 1
    assert report.limited


def test_what_is_done_is_found_again(tmp_path: Path) -> None:
    name = str(tmp_path / "state")
    done, other = Page("/a", (("accept", "x"),)), Page("/a")
    for expected in (False, True):
        progress = Progress.open(name, SHOP)
        assert (progress.has(done), progress.has(other)) == (expected, False)
        progress.note(done)
        progress.close(finished=False)
    assert Path(name).stat().st_mode & 0o777 == 0o600
    Progress.open(name, SHOP).close(finished=True)
    assert not Path(name).exists()


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path: Path) -> None:
    name = tmp_path / "state"
    first = Progress.open(str(name), SHOP)
    first.note(Page("/a"))
    first.note(Page("/b"))
    first.close(finished=False)
    name.write_bytes(name.read_bytes()[:-10])
    second = Progress.open(str(name), SHOP)
    assert (second.has(Page("/a")), second.has(Page("/b"))) == (True, False)
    second.note(Page("/c"))
    second.close(finished=False)
    third = Progress.open(str(name), SHOP)
    assert third.has(Page("/c"))
    third.close(finished=True)


def test_a_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    name = tmp_path / "precious"
    name.write_text("mine")
    with pytest.raises(StateError, match="not of this warm-up; accepted: a file that an earlier"):
        Progress.open(str(name), SHOP)
    assert name.read_text() == "mine"
    Progress.open(str(tmp_path / "state"), SHOP).close(finished=False)
    with pytest.raises(StateError, match="not of this warm-up"):
        Progress.open(str(tmp_path / "state"), Origin.parse("http://other.test"))
    with pytest.raises(StateError, match="No such file"):
        Progress.open(str(tmp_path / "no" / "state"), SHOP)


@given(st.binary() | st.binary().map(MAGIC.__add__))
def test_any_state_is_read_or_refused(data: bytes) -> None:
    try:
        done = read_progress(data, MAGIC + b"head")
    except StateError:
        return
    assert all(len(each) == 32 for each in done)

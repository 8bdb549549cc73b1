"""Packed bodies, and why a frame is refused."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import Suite
from apsperf_mw.cache.codec import FRAME_VERSION, PLAIN, REASONS, BadFrame, Codec, is_packed
from apsperf_mw.cache.entry import Entry, Fork
from apsperf_mw.cache.packing import packed, unpacked, zstd
from apsperf_mw.errors import SettingError
from apsperf_mw.testing.harness import ASGIClient, WSGIClient
from tests.core.support import fresh
from tests.core.test_drivers import Kept, Suspending, suite_on

NOW, OFFSET = 1000.0, 1_800_000_000.0
MOST = 200_000
METHODS = ["zlib", "zstd"]
BOTH = pytest.mark.parametrize("method", METHODS)


def codec(method: str, from_bytes: int = 1000) -> Codec:
    return Codec(method, from_bytes, MOST)


def entry(body: bytes, *headers: tuple[bytes, bytes]) -> Entry:
    return Entry(200, headers, body, NOW, NOW + 60)


def fields(frame: bytes) -> list[Any]:
    return msgspec.msgpack.decode(frame)  # type: ignore[no-any-return]


def altered(frame: bytes, position: int, value: Any) -> bytes:
    found = fields(frame)
    found[position] = value
    return msgspec.msgpack.encode(found)


def why(frame: bytes, codec: Codec = PLAIN) -> str:
    with pytest.raises(BadFrame) as raised:
        codec.decode(frame, OFFSET, NOW)
    assert str(raised.value) in REASONS
    return str(raised.value)


PACKING, SIZE, BODY = 2, 3, 6
bodies = st.one_of(
    st.binary(max_size=5000),
    st.builds(lambda part, times: part * times, st.binary(max_size=50), st.integers(0, 4000)),
)


@given(body=bodies, method=st.sampled_from([*METHODS, "none"]), reader=st.sampled_from(METHODS))
def test_a_body_comes_back_whoever_reads_it(body: bytes, method: str, reader: str) -> None:
    frame = codec(method).encode(entry(body), OFFSET)
    back = codec(reader).decode(frame, OFFSET, NOW)
    assert isinstance(back, Entry)
    assert back.body == body
    assert len(frame) <= len(body) + 200


@given(body=bodies, method=st.sampled_from(METHODS), at=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_no_body_of_another_size(
    body: bytes, method: str, at: int, bit: int
) -> None:
    frame = bytearray(codec(method).encode(entry(body), OFFSET))
    frame[at % len(frame)] ^= 1 << bit
    try:
        back = codec(method).decode(bytes(frame), OFFSET, NOW)
    except BadFrame as fault:
        assert str(fault) in REASONS
    else:
        assert isinstance(back, Entry | Fork)
        if isinstance(back, Entry) and is_packed(bytes(frame)):
            assert len(back.body) <= MOST


@given(form=st.binary(max_size=300), method=st.sampled_from(METHODS), size=st.integers(0, MOST))
def test_random_bytes_unpack_to_nothing(form: bytes, method: str, size: int) -> None:
    body = unpacked(form, method, size)
    assert body is None or len(body) == size


@BOTH
def test_only_what_is_large_and_gets_smaller_is_packed(method: str) -> None:
    import random

    noise = random.Random(1).randbytes(5000)
    coded = entry(bytes(5000), (b"Content-Encoding", b"br"))
    for record, is_smaller in (
        (entry(bytes(5000)), True),
        (entry(bytes(999)), False),
        (entry(noise), False),
        (coded, False),
        (entry(bytes(MOST + 1)), False),
    ):
        frame = codec(method).encode(record, OFFSET)
        assert is_packed(frame) is is_smaller
        assert (len(frame) < 300) is is_smaller
        back = codec(method).decode(frame, OFFSET, NOW)
        assert isinstance(back, Entry)
        assert back.body == record.body
    assert not is_packed(codec(method).encode(Fork((b"a",), 1), OFFSET)[:5])


@BOTH
def test_a_bomb_is_not_unpacked(method: str) -> None:
    bomb = packed(bytes(50_000_000), method)
    assert len(bomb) < 300_000
    frame = codec(method).encode(entry(bytes(5000)), OFFSET)
    for size, reason in ((50_000_000, "oversized"), (MOST, "corrupt"), (-1, "oversized")):
        bad = altered(altered(frame, BODY, bomb), SIZE, size)
        assert why(bad, codec(method)) == reason
    assert unpacked(bomb, method, 0) is None


@BOTH
@pytest.mark.parametrize("wrong", [0, 4999, 5001])
def test_a_size_that_is_not_the_bodys_is_refused(method: str, wrong: int) -> None:
    frame = codec(method).encode(entry(bytes(5000)), OFFSET)
    assert why(altered(frame, SIZE, wrong), codec(method)) == "corrupt"


@BOTH
def test_what_follows_or_is_cut_off_is_refused(method: str) -> None:
    frame = codec(method).encode(entry(bytes(5000)), OFFSET)
    body = fields(frame)[BODY]
    for bad in (body + b"x", body[:-1], body[1:], b"", body + body):
        assert why(altered(frame, BODY, bad), codec(method)) == "corrupt"


def test_a_window_larger_than_the_body_is_not_made_room_for() -> None:
    module = zstd()
    parameter = module.CompressionParameter
    compressor = module.ZstdCompressor(options={parameter.window_log: 27})
    form = compressor.compress(bytes(5000)) + compressor.flush()  # of unknown size: as streamed
    assert unpacked(form, "zstd", 5000) is None


def test_each_reason_has_a_name() -> None:
    plain = PLAIN.encode(entry(b"page"), OFFSET)
    small = codec("zlib").encode(entry(bytes(5000)), OFFSET)
    assert why(plain[:-1]) == why(plain[:20]) == why(b"") == "truncated"
    assert why(b"garbage") == why(plain + b"x") == why(b"\x80\x04\x95.") == "corrupt"
    assert why(altered(plain, 1, FRAME_VERSION + 1)) == "foreign version"
    assert why(msgspec.msgpack.encode(["e", 2, 200, [], b""])) == "foreign version"
    assert why(msgspec.msgpack.encode(["e", FRAME_VERSION, 200])) == "corrupt"
    assert why(altered(plain, 4, 99)) == "unsound"
    assert why(altered(small, SIZE, 2**40)) == "oversized"
    assert why(altered(plain, PACKING, "lzma")) == "corrupt"
    assert why(b"\x91" * 100_000) in REASONS


def without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_zstd_its_frames_are_a_miss_and_its_setting_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = codec("zstd").encode(entry(bytes(5000)), OFFSET)
    without_zstd(monkeypatch)
    assert why(frame, codec("zlib")) == "unreadable packing"
    with pytest.raises(SettingError, match=r"cache\.compression is 'zstd'.*apsperf-mw\[zstd\]"):
        Suite(cache={"compression": "zstd"}).wsgi(lambda *_: [])
    Suite(cache={"compression": "zlib"}).wsgi(lambda *_: [])


@pytest.mark.parametrize("kind", ["wsgi", "asgi", "asgi suspending"])
@BOTH
def test_a_far_store_holds_packed_bodies(kind: str, method: str) -> None:
    driver: Any = Suspending() if kind.endswith("suspending") else Kept()
    suite = suite_on(driver, compression=method, compress_from_bytes=1000)
    body = b"page " * 50_000
    app = lambda _: fresh(body=[body])  # noqa: E731
    client = WSGIClient(suite, app) if kind == "wsgi" else ASGIClient(suite, app)
    assert client.ask().cache.stored
    assert client.ask().body == body
    assert client.calls == 1
    assert sum(map(len, driver.held.values())) < 5000
    (key,) = driver.held
    driver.held[key] = driver.held[key][:-20]
    assert client.ask().body == body
    assert client.calls == 2
    assert set(suite.faults.counts) == {"a stored frame: truncated"}


def test_a_large_packed_frame_is_unpacked_beside_the_loop() -> None:
    import random

    driver = Suspending()
    suite = suite_on(driver, compression="zlib", compress_from_bytes=1000)
    body = random.Random(1).randbytes(60_000) + bytes(60_000)
    client = ASGIClient(suite, lambda _: fresh(body=[body]))
    assert client.ask().cache.stored
    assert client.ask().body == body
    assert client.calls == 1


def test_the_checksum_of_zlib_is_heeded() -> None:
    form = bytearray(zlib.compress(b"page" * 100))
    form[-1] ^= 1
    assert unpacked(bytes(form), "zlib", 400) is None

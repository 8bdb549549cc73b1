"""A target for atheris: `python -m tests.fuzz.frames CORPUS -runs=N` feeds bytes to the decoders.

Whatever the bytes are, a frame is read or refused for one of the known reasons, an entry that is
read can be sent, and nothing is made larger than it may be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import atheris

instrumented: Any = vars(atheris)["instrument_imports"]
with instrumented(include=["apsperf_mw.cache", "apsperf_mw.drivers"]):
    from apsperf_mw.cache.codec import REASONS, BadFrame, Codec
    from apsperf_mw.cache.entry import Entry, Fork
    from apsperf_mw.cache.results import thawed
    from apsperf_mw.drivers.file_frame import framed, unframed
    from apsperf_mw.drivers.seal import BadSeal, Seals
    from apsperf_mw.drivers.versions import Stand, Table

MOST = 100_000
CODEC = Codec("zlib", 100, MOST)
SEALS = Seals(["not so secret any more"])


def check(data: bytes) -> None:
    """Give the bytes to all that reads what a store gives back."""
    try:
        record = CODEC.decode(data, 0.0, 0.0)
    except BadFrame as why:
        assert str(why) in REASONS
    else:
        check_record(record, len(data))
    thawed(data, 0.0, 0.0)
    assert Table.read(data, Stand.read(data)).versions(0).position is not None
    value, is_whole = unframed(b"k", data)
    assert value is None or (is_whole and data.endswith(value))
    try:
        SEALS.open(b"k", data)
    except BadSeal:
        return
    raise AssertionError("a seal that nobody made")


def check_record(record: Entry | Fork, size: int) -> None:
    """What was read can be sent, and is no larger than it may be."""
    if isinstance(record, Entry):
        assert len(record.body) <= max(MOST, size)
        assert 200 <= record.status <= 599
        text = b"".join(part for field in record.headers for part in field)
        assert not any(mark in text for mark in b"\r\n\0")


def write_corpus(directory: Path) -> None:
    """Frames of every kind, to begin with."""
    headers = ((b"content-type", b"text/plain"), (b"etag", b'"1"'))
    entry = Entry(200, headers, b"page " * 1000, 0.0, 60.0, b'"1"', tags=("a",))
    frames = [
        codec.encode(record, 0.0)
        for codec in (Codec(), CODEC, Codec("zstd", 100, MOST))
        for record in (entry, Fork((b"accept",), 7, ((b"a",), (None,))))
    ]
    table = Table(b"generation", 3, 0, {b"a": 1, b"b": 3})
    frames += [table.frame(), Stand(b"generation", 3).frame(), framed(b"k", b"v", 60)]
    for number, frame in enumerate(frames):
        (directory / str(number)).write_bytes(frame)


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()

"""The traces: requests in order, each of a key with a size and a time to make it."""

from __future__ import annotations

import gzip
import lzma
import math
import random
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

DATA = Path(__file__).resolve().parents[1] / "data" / "traces"
# What is drawn where a trace does not say it, by key and always the same: log-normal. Of the fill
# times half are within 2.8 times the median, and one in a hundred is 33 times as long.
MEDIAN_FILL_S, FILL_SIGMA = 0.02, 1.5
MEDIAN_BYTES, BYTES_SIGMA = 8_000, 1.3


@dataclass(frozen=True)
class Trace:
    """Requests by the number of their key; sizes and fill times stand under that number."""

    name: str
    requests: list[int]
    sizes: list[int]
    sized: bool

    @cached_property
    def keys(self) -> list[tuple[int]]:
        """The keys, as tuples: their hashes are well mixed, and the same in each run."""
        return [(number,) for number in range(len(self.sizes))]

    @cached_property
    def fills_s(self) -> list[float]:
        """How long it takes to make what stands under a key."""
        return [_drawn(n, "fill", MEDIAN_FILL_S, FILL_SIGMA) for n in range(len(self.sizes))]

    def head(self, most: int) -> Trace:
        """The first requests."""
        requests = self.requests[:most]
        return Trace(self.name, requests, self.sizes[: max(requests) + 1], self.sized)


@dataclass(frozen=True)
class Source:
    """A file, and how it is read into pairs of a key and a size, 0 where it does not say."""

    file: str
    read: Callable[[Path], Iterable[tuple[Hashable, int]]]
    sized: bool = False


def load(name: str) -> Trace:
    """A trace by its name; keys are numbered as they come, a key's size is its largest."""
    source = SOURCES[name]
    numbers: dict[Hashable, int] = {}
    sizes: list[int] = []
    requests = []
    for key, size in source.read(DATA / source.file):
        number = numbers.setdefault(key, len(numbers))
        if number == len(sizes):
            sizes.append(0)
        sizes[number] = max(sizes[number], size)
        requests.append(number)
    if not source.sized:
        sizes = [int(_drawn(n, "size", MEDIAN_BYTES, BYTES_SIGMA)) for n in range(len(sizes))]
    return Trace(name, requests, [max(size, 1) for size in sizes], source.sized)


def _drawn(number: int, what: str, median: float, sigma: float) -> float:
    return math.exp(random.Random(f"{what} {number}").gauss(math.log(median), sigma))


def _table(path: Path) -> Iterator[tuple[str, int]]:
    with gzip.open(path, "rt") as lines:
        next(lines)
        for line in lines:
            _, _, url, size, _ = line.split("\t")
            yield url, int(size)


def _short_numbers(path: Path) -> Iterator[tuple[int, int]]:
    with lzma.open(path) as file:
        return iter([(key, 0) for (key,) in struct.iter_unpack(">I", file.read())])


def _long_numbers(path: Path) -> Iterator[tuple[int, int]]:
    with gzip.open(path) as file:
        return iter([(key, 0) for (key,) in struct.iter_unpack(">Q", file.read())])


def _triples(path: Path) -> Iterator[tuple[str, int]]:
    with lzma.open(path, "rt") as lines:
        for line in lines:
            _, key, size = line.split()
            yield key, int(size)


def _words(path: Path) -> Iterator[tuple[str, int]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            yield from ((word, 0) for word in line.split() if word.isdigit())


SOURCES = {
    "nasa": Source("nasa.tsv.gz", _table, sized=True),
    "semicomplete": Source("semicomplete.tsv.gz", _table, sized=True),
    "web12": Source("web12.trace.xz", _short_numbers),
    "orm-busy": Source("orm-busy.trace.xz", _short_numbers),
    "adaptsize": Source("adaptsize.trace.xz", _triples, sized=True),
    "multi3": Source("multi3.trace.gz", _words),
    "corda": Source("corda.gz", _long_numbers),
    "fifa98": Source("fifa98-200k.dat.gz", _words),
}
# The traces of web servers, on which the bars stand.
WEB = ("nasa", "semicomplete", "web12")

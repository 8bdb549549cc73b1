"""A driver of so many bytes makes the process grow by hardly more, whatever it is offered."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MOST_GROWTH = 1.4
FULL = 1_000_000
CODE = """
import gc, random, sys
from apsperf_mw.cache.entry import Entry
from apsperf_mw.cache.faces import LocalFace
from apsperf_mw.drivers.memory import MemoryDriver

policy, bound, keys = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
driver = MemoryDriver(bound, 1_000_000, policy)
face = LocalFace(driver, None)
chance = random.Random(1)

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def offer(number):
    path = "/catalogue/items/%d" % number
    etag = b'"%d"' % number
    if number % 3:
        driver.set(path.encode(), bytes(int(chance.expovariate(1 / 1500))), 600.0)
        return
    headers = ((b"content-type", b"text/html"), (b"etag", etag), (b"cache-control", b"max-age=60"))
    body = bytes(int(chance.expovariate(1 / 4000)))
    entry = Entry(200, headers, body, 1.0, 2.0, etag, made_s=chance.random())
    entry.environ_wire = (1.0, tuple((a.decode(), b.decode()) for a, b in headers))
    entry.scope_wire = (1.0, tuple((a + b"", b + b"") for a, b in headers))
    face.put(("http", "example.org", "", path, path + "", "q=%d" % number), entry, 600.0)

for number in range(300):
    offer(number)
driver.clear()
gc.collect()
before, most = rss(), 0
for number in range(keys):
    offer(number)
    if number % 1000 == 0:
        most = max(most, rss() - before)
stats = driver.stats()
assert stats["evictions"] and stats["size_bytes"] <= bound
print(max(most, rss() - before) / bound)
"""


def keys() -> int:
    """A twentieth, or all of them where cases are asked for in number."""
    return FULL if int(os.environ.get("N") or 0) >= 1000 else FULL // 20


@pytest.mark.fuzz
@pytest.mark.parametrize("policy", ["gdsf", "lru", "sieve"])
def test_the_process_grows_by_no_more_than_the_bound_allows(policy: str) -> None:
    bound = 64 << 20 if keys() == FULL else 24 << 20
    command = [sys.executable, "-c", CODE, policy, str(bound), str(keys())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= MOST_GROWTH

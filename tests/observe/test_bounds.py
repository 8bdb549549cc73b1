"""What clients make up adds no series and no memory; what requests leave behind does not add up.

Of full size with N=25000, as in `make soak`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from apsperf_mw.wsgi_watch import MOST_NAMES, Codes
from tests.observe.support import ROOT, SERVED

N = int(os.environ.get("N", "1000"))

ODD = """
import json, os, psutil, sys

def rss():
    return psutil.Process().memory_info().rss

def odd(n):
    return {**scope(), "method": f"M{n}", "scheme": f"s{n}", "path": f"/{n}",
            "raw_path": b"/%d" % n, "query_string": b"q=%d" % n, "http_version": f"9.{n}",
            "headers": [(b"host", b"h%d.test" % n), (b"user-agent", b"u%d" % n)],
            "client": (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 5)}

async def several(wrapped, numbers):
    for n in numbers:
        await wrapped(odd(n), None, nothing)

suite = Suite(exporter={"kind": "memory", "max_spans": 256}, tracing={"sample_ratio": 0.1})
wrapped = suite.asgi(app)
count = int(sys.argv[1])
step = 1000
asyncio.run(several(wrapped, range(step)))
suite.flush(20)
before = rss()
for first in range(step, count + step, step):
    asyncio.run(several(wrapped, range(first, first + step)))
    suite.flush(20)
metrics = suite.exporter.memory.metrics.resource_metrics[0].scope_metrics[0].metrics
print(json.dumps({
    "grown": rss() - before,
    "series": {each.name: len(each.data.data_points) for each in metrics},
    "rows": len(suite.report().rows),
}))
suite.close()
"""

SAME = """
import gc, json, psutil, sys

def rss():
    return psutil.Process().memory_info().rss

suite = Suite(exporter={"kind": "memory", "max_spans": 256})
wrapped = suite.asgi(app)
count = int(sys.argv[1])

def serve(requests):
    for _ in range(requests // 1000):  # so few wait at once, on a busy machine too
        ask(wrapped, 1000)
        suite.flush(20)

serve(max(count // 5, 50_000))
gc.collect()
before = rss()
serve(count)
gc.collect()
print(json.dumps({"grown": rss() - before, "requests": suite.report().requests}))
suite.close()
"""


def printed(code: str, count: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SERVED + code, str(count)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.fuzz
def test_what_clients_make_up_is_bounded() -> None:
    found = printed(ODD, max(2 * N, 2000))
    assert found["grown"] <= 5 << 20
    assert max(found["series"].values()) <= 200
    assert found["rows"] == 1


@pytest.mark.fuzz
def test_what_requests_leave_behind_does_not_add_up() -> None:
    count = max(40 * N, 20_000) // 10_000 * 10_000
    found = printed(SAME, count)
    assert found["requests"] == count + max(count // 5, 50_000)
    assert found["grown"] <= 2 << 20


def test_the_status_lines_that_are_known_are_bounded() -> None:
    codes = Codes()
    for n in range(3 * MOST_NAMES):
        assert codes[f"{200 + n % 100} number {n}"] == 200 + n % 100
        assert len(codes) <= MOST_NAMES + 1
    assert codes["odd"] == codes[""] == 0

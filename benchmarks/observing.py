"""What observing costs a request, beside OpenTelemetry's own instrumentation and others.

`python -m benchmarks.observing [--rounds N] [--only KIND]`: every arm serves a slice of requests
by turns with the bare app, so that what slows the machine slows all; what an arm adds is its time
less the bare app's of the same round, and the median over the rounds counts. Wall time is that of
the thread that serves; CPU time is that of all threads until everything is exported, over OTLP to a
sink on loopback in a process of its own. No arm caches.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import subprocess
import sys
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.observed import KINDS, arms
from benchmarks.report import table
from benchmarks.say import say

if TYPE_CHECKING:
    from benchmarks.observed import Arm

ROUNDS = 15
# Requests of a slice: at its end all is exported, as in life once a minute.
SLICES = {"asgi": 5000, "wsgi": 5000}
USUAL_SLICE = 1000
HEAD = ("app", "observed by", "wall us", "added us", "all-thread CPU us", "added CPU us", "x ours")
SINK = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Take(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Taken(NamedTuple):
    """Microseconds a request of one slice."""

    wall: float
    cpu: float


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument("--only", choices=KINDS, metavar="KIND", help="%(choices)s")
    asked = parser.parse_args(arguments)
    print(compared(asked.rounds, [asked.only] if asked.only else list(KINDS)))
    return 0


def compared(rounds: int, kinds: list[str]) -> str:
    """The table of all kinds of app."""
    sink = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{int(sink.stdout.readline())}"
    try:
        rows = [row for kind in kinds for row in measured(kind, rounds)]
    finally:
        sink.terminate()
        sink.wait()
    return table(HEAD, rows)


def measured(kind: str, rounds: int) -> list[tuple[str, ...]]:
    """The rows of one kind of app."""
    made = arms(kind)
    taken: dict[str, list[Taken]] = {arm.name: [] for arm in made}
    loop = asyncio.new_event_loop()
    for turn in range(rounds + 2):
        say(f"observing {kind}: round {turn + 1} of {rounds + 2}")
        for arm in random.sample(made, len(made)):
            slice_of = _slice(arm, loop, SLICES.get(kind, USUAL_SLICE))
            if turn >= 2:
                taken[arm.name].append(slice_of)
    for arm in made:
        arm.close()
    loop.close()
    return [_row(kind, arm.name, taken) for arm in made]


def _slice(arm: Arm, loop: asyncio.AbstractEventLoop, count: int) -> Taken:
    gc.collect()
    began, began_cpu = perf_counter(), process_time()
    arm.serve(loop, count)
    wall = perf_counter() - began
    arm.flush()
    return Taken(wall / count * 1e6, (process_time() - began_cpu) / count * 1e6)


def _row(kind: str, name: str, taken: dict[str, list[Taken]]) -> tuple[str, ...]:
    bare, own = taken["bare"], taken[name]
    added = [median(a - b for a, b in zip(*pair, strict=True)) for pair in _pairs(own, bare)]
    ours = taken.get("suite, 100 % as OTLP" if "100 %" in name else "suite, metrics")
    ratio = ""
    if ours is not None and not name.startswith(("suite", "bare")):
        cpu = median(a.cpu - b.cpu for a, b in zip(ours, bare, strict=True))
        ratio = f"{added[1] / max(cpu, 0.01):.1f}"
    return (
        kind,
        name,
        f"{median(each.wall for each in own):.2f}",
        "" if name == "bare" else f"{added[0]:.2f}",
        f"{median(each.cpu for each in own):.2f}",
        "" if name == "bare" else f"{added[1]:.2f}",
        ratio,
    )


def _pairs(own: list[Taken], bare: list[Taken]) -> list[tuple[list[float], list[float]]]:
    walls = [each.wall for each in own], [each.wall for each in bare]
    cpus = [each.cpu for each in own], [each.cpu for each in bare]
    return [walls, cpus]


if __name__ == "__main__":
    raise SystemExit(main())

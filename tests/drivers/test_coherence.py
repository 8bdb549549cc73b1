"""Near copies of several processes against one Redis that is restarted meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.servers import Server

PROCESSES = 4
CASES = int(os.environ.get("N") or 0)
SECONDS = min(60.0, max(4.0, CASES / 100))
RESTART_EVERY_S = 8.0
# In a run of seconds the restarts weigh more.
LEAST_HITS = 0.8 if SECONDS >= 60 else 0.5


@pytest.mark.fuzz
@pytest.mark.timeout(150)
def test_no_process_sees_long_what_another_has_changed(server: Server) -> None:
    told = played(server)
    assert all(each["seen"] and each["done"] for each in told)
    late = lateness(told)
    own = [each for each in late if each[1]]
    others = sorted(each[0] for each in late if not each[1])
    p99 = others[len(others) * 99 // 100]
    hits = sum(each["hits"] for each in told) / sum(each["reads"] for each in told)
    sys.stdout.write(
        f"{len(late)} changes seen, late p99 {p99 * 1000:.1f} ms, most {others[-1] * 1000:.0f} ms; "
        f"near hits {hits:.1%}; faults {sum(each['faults'] for each in told)}\n"
    )
    assert max(each[0] for each in own) == 0.0
    assert p99 <= 0.05
    assert others[-1] <= 1.0
    assert hits >= LEAST_HITS


def played(server: Server) -> list[dict[str, Any]]:
    """What each process noted, while the server was restarted again and again."""
    command = [sys.executable, str(Path(__file__).with_name("coherence.py"))]
    url = f"tiered+{server.url}"
    seed = int(os.environ.get("SEED") or 1)
    players = [
        subprocess.Popen(
            [*command, url, str(me), str(PROCESSES), str(SECONDS), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in range(PROCESSES)
    ]
    until = time.monotonic() + SECONDS
    every = min(RESTART_EVERY_S, SECONDS / 2)
    while time.monotonic() + every < until:
        time.sleep(every)
        server.kill()
        time.sleep(0.1)
        server.start()
    notes = [json.loads(player.communicate()[0]) for player in players]
    assert [player.returncode for player in players] == [0] * PROCESSES
    return notes


def lateness(told: list[dict[str, Any]]) -> list[tuple[float, bool]]:
    """For each change and process: for how long the old was seen after it, and whether its own."""
    changes: dict[str, list[tuple[int, float]]] = defaultdict(list)
    owner: dict[str, int] = {}
    for notes in told:
        for instant, item, number in notes["done"]:
            changes[item].append((number, instant))
            owner[item] = notes["me"]
    for made in changes.values():
        made.sort()
    found = []
    for notes in told:
        worst: dict[tuple[str, int], float] = {}
        for began, item, number in notes["seen"]:
            made = changes.get(item, [])
            at = bisect_left(made, (number + 1, 0.0))
            late = 0.0
            if at < len(made):
                late = max(0.0, began - made[at][1])
                worst[item, at] = max(worst.get((item, at), 0.0), late)
            else:
                worst.setdefault((item, at), 0.0)
        found += [(late, owner.get(item) == notes["me"]) for (item, _), late in worst.items()]
    return found

"""One process of the coherence test: reads, writes and bumps at random, and notes what it saw.

Each key and each space is changed by one thread or task only, so that the order of its values is
known. The notes are lists of `[instant, item, number]`; the instants are of the system's monotonic
clock.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from typing import Any

from apsperf_mw.drivers.tiered import Tiered
from apsperf_mw.errors import DriverError

KEYS, SPACES = 40, 8
TTL_S = 600.0


class Notes:
    def __init__(self, me: int) -> None:
        self.me = me
        self.number = 0
        self.seen: list[tuple[float, str, int]] = []
        self.done: list[tuple[float, str, int]] = []
        self.hits = self.reads = self.faults = 0

    def next(self) -> int:
        self.number += 1
        return self.number


def name(kind: str, item: int) -> bytes:
    return f"{kind}{item}".encode()


class Player:
    """One thread or task; `ask` calls a verb of the driver."""

    def __init__(self, driver: Tiered, notes: Notes, seed: int, turn: tuple[int, int]) -> None:
        self.driver = driver
        self.notes = notes
        self.chance = random.Random(seed)
        number, total = turn
        self.keys = list(range(KEYS))[number::total]
        self.spaces = list(range(SPACES))[number::total]

    def draw(self) -> Any:
        """The next thing to do: a verb with its arguments, and who takes note of the answer."""
        chance, notes = self.chance.random(), self.notes
        if chance < 0.004:
            key, number = self.chance.choice(self.keys), notes.next()
            return ("set", name("k", key), b"%d" % number, TTL_S), self.wrote(f"k{key}", number)
        if chance < 0.005:
            key, number = self.chance.choice(self.keys), notes.next()
            return ("delete", name("k", key)), self.wrote(f"k{key}", number)
        if chance < 0.006:
            space = self.chance.choice(self.spaces)
            return ("bump", name("s", space), [b"tag"]), self.bumped(space)
        if chance < 0.2:
            key, space = self.chance.randrange(KEYS), self.chance.randrange(SPACES)
            return ("look", name("k", key), name("s", space)), self.looked(key, space)
        key = self.chance.randrange(KEYS)
        return ("get", name("k", key)), self.got(key)

    def wrote(self, item: str, number: int) -> Any:
        def note(began: float, reply: Any) -> None:
            self.notes.done.append((time.monotonic(), item, number))

        return note

    def bumped(self, space: int) -> Any:
        def note(began: float, reply: Any) -> None:
            item = f"s{space}:{reply.generation.hex()}"
            self.notes.done.append((time.monotonic(), item, reply.position))

        return note

    def got(self, key: int) -> Any:
        copied = self.driver.copy(name("k", key)) is not None

        def note(began: float, reply: Any) -> None:
            if reply is not None:
                self.notes.reads += 1
                self.notes.hits += copied
                self.notes.seen.append((began, f"k{key}", int(reply)))

        return note

    def looked(self, key: int, space: int) -> Any:
        see = self.got(key)

        def note(began: float, reply: Any) -> None:
            see(began, reply.value)
            item = f"s{space}:{reply.generation.hex()}"
            self.notes.seen.append((began, item, reply.position))

        return note


def play_in_thread(player: Player, until: float) -> None:
    while time.monotonic() < until:
        (verb, *arguments), note = player.draw()
        began = time.monotonic()
        try:
            note(began, getattr(player.driver, verb)(*arguments))
        except DriverError:
            player.notes.faults += 1
        time.sleep(0.0003)


async def play_in_task(player: Player, until: float) -> None:
    while time.monotonic() < until:
        (verb, *arguments), note = player.draw()
        began = time.monotonic()
        try:
            note(began, await getattr(player.driver, f"a{verb}")(*arguments))
        except DriverError:
            player.notes.faults += 1
        await asyncio.sleep(0.0003)


async def play_in_tasks(players: list[Player], until: float) -> None:
    await asyncio.gather(*(play_in_task(player, until) for player in players))


def main(url: str, me: int, total: int, seconds: float, seed: int) -> None:
    driver, notes = Tiered.from_url(url), Notes(me)
    players = [
        Player(driver, notes, seed * 100 + me * 10 + who, (me * 2 + who, total * 2))
        for who in range(2)
    ]
    until = time.monotonic() + seconds
    if me % 2:
        asyncio.run(play_in_tasks(players, until))
    else:
        threads = [
            threading.Thread(target=play_in_thread, args=(player, until)) for player in players
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    driver.close()
    json.dump(vars(notes), sys.stdout)


if __name__ == "__main__":
    _, where, number, of, length, drawn = sys.argv
    main(where, int(number), int(of), float(length), int(drawn))

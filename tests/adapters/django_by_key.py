"""What becomes of rows that Django reads and writes by keys, with `database.rows`, as JSON."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportMissingImports=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from random import Random
from typing import Any

from django.db import connection, connections, transaction

from apsperf_mw.cache.policy import Plan
from apsperf_mw.cache.policy import current as plans
from apsperf_mw.db.rows import Keyed, row_tag
from tests.adapters import django_rows
from tests.adapters.django_rows import DATABASE, PORT, make, raw, uncached

Artist: Any = vars(django_rows)["Artist"]
KEYS = range(1, 9)
TABLE, KINDS = "music_artist", ("stale", "reads", "faults")


def kept() -> Any:
    return Artist.objects.cached("long")


def fetched(statement: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute(statement, values)
        first = cursor.fetchone()
        rest = [*cursor.fetchmany(1), *cursor.fetchall(), *cursor]
        cursor.execute("SELECT 2")
        assert cursor.fetchall() == [(2,)]
    return [first, *rest]


READS: dict[str, Callable[[], Any]] = {
    "get 1": lambda: kept().get(pk=1).name,
    "get 2": lambda: kept().get(id=2).name,
    "first 1": lambda: kept().filter(pk=1).first().name,
    "values 2": lambda: list(kept().filter(pk=2).values("name")),
    "exists 2": lambda: kept().filter(pk=2).exists(),
    "both": lambda: sorted(each.name for each in kept().filter(pk__in=[1, 2])),
    "others": lambda: sorted(each.name for each in kept().filter(pk__in=[2, 3])),
    "none": lambda: kept().filter(pk=99).first() is None,
    "counted 2": lambda: kept().filter(pk=2).count(),
    "all": lambda: list(kept().order_by("id").values_list("name", flat=True)),
}


def saved() -> None:
    artist = Artist.objects.get(pk=1)
    artist.name = "saved"
    artist.save()


def saved_in_part() -> None:
    Artist(pk=1, name="in part").save(update_fields=["name"])


def in_a_block() -> None:
    with transaction.atomic():
        Artist.objects.filter(pk=1).update(name="in a block")
        assert kept().get(pk=1).name == "in a block"
        assert kept().get(pk=2).name == "artist 2"


def replaced() -> None:
    with transaction.atomic():
        Artist.objects.filter(pk=1).delete()
        Artist.objects.create(pk=1, name="replaced")


def many() -> None:
    with connection.cursor() as cursor:
        sets = iter([("many", 1), ("many", 98)])
        cursor.executemany("UPDATE music_artist SET name = %s WHERE id = %s", list(sets))


def by_an_iterator() -> None:
    with connection.cursor() as cursor:
        sets = (("many", number) for number in (1, 98))
        cursor.executemany("UPDATE music_artist SET name = %s WHERE id = %s", sets)


BY_KEY: dict[str, Callable[[], object]] = {
    "save": saved,
    "save in part": saved_in_part,
    "update": lambda: Artist.objects.filter(pk=1).update(name="updated"),
    "bulk": lambda: Artist.objects.bulk_update([Artist(id=1, name="bulk")], ["name"]),
    "raw": lambda: raw("UPDATE music_artist SET name = %s WHERE id = %s", "raw", 1),
    "block": in_a_block,
    "replaced": replaced,
    "many": many,
}
OTHERS: dict[str, Callable[[], object]] = {
    "by name": lambda: Artist.objects.filter(name="artist 1").update(name="by name"),
    "literal": lambda: raw("UPDATE music_artist SET name = %s WHERE id = 1", "literal"),
    "iterator": by_an_iterator,
    "moved": lambda: Artist.objects.filter(pk=8).update(id=80),
}


def hits(read: Callable[[], Any]) -> int:
    before = DATABASE.stats().hits
    read()
    return DATABASE.stats().hits - before


def after(write: Callable[[], object]) -> dict[str, Any]:
    """Which reads are kept still, and which are not true."""
    for read in READS.values():
        read()
        read()
    write()
    told: dict[str, Any] = {"kept": [], "stale": []}
    for name, read in READS.items():
        if hits(read):
            told["kept"].append(name)
        if read() != uncached(read):
            told["stale"].append(name)
    Artist.objects.filter(pk=1).update(name="artist 1")
    Artist.objects.filter(pk=80).update(id=8)
    return told


def inserted() -> dict[str, Any]:
    told = after(lambda: Artist.objects.create(name="new").pk)
    Artist.objects.filter(name="new").delete()
    return told


def page_of(read: Callable[[], Any]) -> list[str]:
    plan = Plan()
    token = plans.set(plan)
    try:
        read()
    finally:
        plans.reset(token)
    names = {row_tag(TABLE, number): f"row {number}" for number in KEYS}
    return sorted(names.get(each, each) for each in plan.tables or ())


def pages() -> dict[str, list[str]]:
    Artist.objects.filter(pk=1).update(name="artist 1")
    plain = Artist.objects
    reads: dict[str, Callable[[], Any]] = {
        "get": lambda: plain.get(pk=1),
        "kept": lambda: kept().get(pk=1),
        "kept again": lambda: kept().get(pk=1),
        "list": lambda: list(plain.filter(pk__in=[1, 2])),
        "stream": lambda: [each.name for each in plain.filter(pk=1).iterator()],
        "raw": lambda: fetched("SELECT name FROM music_artist WHERE id = %s", 1),
        "in bulk": lambda: plain.in_bulk([1, 2]),
        "none": lambda: plain.filter(pk=99).first(),
        "kept none": lambda: kept().filter(pk=99).first(),
        "kept none again": lambda: kept().filter(pk=99).first(),
        "all": lambda: list(plain.all()),
        "one missing": lambda: list(plain.filter(pk__in=[1, 99])),
    }
    return {name: page_of(read) for name, read in reads.items()}


def as_fetched() -> list[Any]:
    """What a cursor gives while its rows are counted for a page."""
    token = plans.set(Plan())
    try:
        return fetched("SELECT name FROM music_artist WHERE id = %s", 2)
    finally:
        plans.reset(token)


def storm() -> dict[str, int]:
    """Threads that read and write by keys; nobody reads what is older than the last commit."""
    seen, stop, least = dict.fromkeys(KINDS, 0), threading.Event(), dict.fromkeys(KEYS, 0)
    for number in KEYS:
        Artist.objects.filter(pk=number).update(name="0")

    def work(random: Random) -> None:
        try:
            while not stop.is_set():
                number = random.choice(KEYS)
                floor = least[number]
                if random.random() < 0.2:
                    found = list(kept().order_by("id").values_list("name", flat=True))[number - 1]
                elif random.random() < 0.3:
                    found = kept().filter(pk=number).first().name
                else:
                    found = kept().get(pk=number).name
                seen["stale"] += int(found) < floor
                seen["reads"] += 1
        except BaseException:
            seen["faults"] += 1
            raise
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(Random(seed),)) for seed in range(4)]
    for thread in threads:
        thread.start()
    random = Random(0)
    ways: tuple[Callable[[int, str], object], ...] = (
        lambda number, name: Artist.objects.filter(pk=number).update(name=name),
        lambda number, name: Artist(pk=number, name=name).save(),
        lambda number, name: raw("UPDATE music_artist SET name = %s WHERE id = %s", name, number),
        lambda number, name: raw(f"UPDATE music_artist SET name = '{name}' WHERE id = {number}"),
    )
    for round_ in range(1, 80):
        number = random.choice(KEYS)
        random.choice(ways)(number, str(round_))
        least[number] = round_
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    for number in KEYS:
        Artist.objects.filter(pk=number).update(name=f"artist {number}")
    return seen


def forgets(keyed: Keyed, given: Any) -> set[str] | None:
    """The tags of rows that are read, and none of those that are written."""
    return TAGS(keyed, given) if keyed.reads else set()


TAGS = Keyed.tags


def main() -> None:
    make()
    for number in KEYS[3:]:
        Artist.objects.create(id=number, name=f"artist {number}")
    if PORT:  # after the keys that were given
        raw("SELECT setval('music_artist_id_seq', 200)")
    else:
        Artist.objects.create(id=200, name="last")
        Artist.objects.filter(id=200).delete()
    if os.environ.get("FORGETS") == "1":
        setattr(Keyed, "tags", forgets)  # noqa: B010
        sys.stdout.write(json.dumps({"storm": storm()}))
        return
    told: dict[str, Any] = {name: after(write) for name, write in {**BY_KEY, **OTHERS}.items()}
    told |= {"inserted": inserted(), "pages": pages(), "fetched": as_fetched(), "storm": storm()}
    connections.close_all()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

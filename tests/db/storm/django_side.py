"""A storm's operations by Django: reads through the cache, and writes of every kind."""

# Django comes without types, and its models cannot be imported before it is set up.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import django
from django.conf import settings as configured

from tests.db.storm.board import BULK, BULK_ROWS, CHILD, KEYS, NEVER, WIDE, Board
from tests.db.storm.ground import ALTERS

SNAPSHOT = "snapshot"
MORE = "UPDATE kv SET v = v + 1 WHERE k = %s RETURNING v"
Done = tuple[int, int] | None


class Undone(Exception):
    """A block is to be rolled back."""


def configure(url: str, settings: dict[str, Any]) -> None:
    """Set Django up for a database of these."""
    known: dict[str, Any]
    if url.startswith("sqlite"):
        more = {"timeout": 60.0, "transaction_mode": "IMMEDIATE"}
        known = {"ENGINE": "django.db.backends.sqlite3", "NAME": url.partition("///")[2]}
        levels: dict[str, Any] = more
    else:
        from psycopg import IsolationLevel
        from sqlalchemy import make_url

        parts, more = make_url(url), {}
        known = {"ENGINE": "django.db.backends.postgresql", "NAME": parts.database,
                 "USER": parts.username, "HOST": parts.host, "PORT": parts.port}  # fmt: skip
        levels = {"isolation_level": IsolationLevel.REPEATABLE_READ}
    configured.configure(
        INSTALLED_APPS=["apsperf_django"],
        DATABASES={
            "default": {**known, "OPTIONS": more},
            SNAPSHOT: {**known, "OPTIONS": levels},
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        APSPERF=settings,
        USE_TZ=False,
    )
    django.setup()


class Django:
    """What one process does by Django."""

    def __init__(self, url: str, settings: dict[str, Any], board: Board) -> None:
        configure(url, settings)
        from django.db import DatabaseError, InterfaceError, connections, transaction

        from apsperf_django import get_suite
        from tests.db.storm import django_models as models

        self.faults = (DatabaseError, InterfaceError)
        self.connections, self.models = connections, models
        self.atomic: Any = transaction.atomic
        self.board = board
        self.suite = get_suite()
        self.database = self.suite.database()
        self.is_sqlite = url.startswith("sqlite")
        self.ttl = settings.get("ttl", {}).get("medium", "long")
        self.ways = [
            *(self.plainly, self.by_save, self.by_update, self.by_bulk, self.by_text, self.by_view),
            *(self.by_trigger, self.in_vain, self.after_a_savepoint, self.at_once, self.anew),
            *(self.cascaded, self.child_in_vain),
        ]
        if not self.is_sqlite:
            self.ways += [self.by_function, self.by_block]
        self.rare = [self.refilled, self.altered]
        self.calm = [self.by_get] * 6 + [
            *(self.by_filter, self.all_keys, self.joined, self.summed, self.children, self.first),
            *(self.bulky, self.widely, self.several, self.in_snapshot, self.while_held),
        ]
        self.looks = [*self.calm, self.own_write]

    def leave(self) -> None:
        """A thread lets go of its connections."""
        self.connections.close_all()

    def stop(self) -> None:
        """Let go of it."""
        self.suite.close()

    # Reads.

    def read(self, random: Random, *, calmly: bool) -> None:
        """One of them; `calmly` without any that writes what it rolls back."""
        try:
            random.choice(self.calm if calmly else self.looks)(random)
        except self.faults:
            self.leave()
            raise

    def _rows(self, model: Any, using: str = "default") -> Any:
        return model.objects.using(using).cached(self.ttl)

    def by_get(self, random: Random, using: str = "default", mark: Any = None) -> None:
        k = random.randrange(KEYS)
        model = random.choice((self.models.KV, self.models.Seen))
        mark = mark or self.board.mark()
        try:
            version = self._rows(model, using).get(pk=k).v
        except model.DoesNotExist:
            version = None
        self.board.saw(mark, k, version, f"get by {using}")

    def by_filter(self, random: Random, using: str = "default", mark: Any = None) -> None:
        k = random.randrange(KEYS)
        mark = mark or self.board.mark()
        rows = self._rows(self.models.KV, using).filter(k=k).values_list("v", flat=True)
        self.board.saw(mark, k, next(iter(rows), None), f"filter by {using}")

    def first(self, random: Random) -> None:
        k = random.randrange(KEYS)
        mark = self.board.mark()
        found = self._rows(self.models.KV).filter(k__gte=k).order_by("k").first()
        self.board.saw(mark, found.k, found.v, "first")

    def all_keys(self, random: Random) -> None:
        mark = self.board.mark()
        for each in self._rows(self.models.KV).order_by("k"):
            self.board.saw(mark, each.k, each.v, "all keys")

    def joined(self, random: Random) -> None:
        k = random.randrange(KEYS)
        mark = self.board.mark()
        try:
            found = self._rows(self.models.Label).select_related("kv").get(pk=k).kv.v
        except self.models.Label.DoesNotExist:
            found = None
        self.board.saw(mark, k, found, "joined")

    def summed(self, random: Random) -> None:
        from django.db.models import Max

        k = random.randrange(KEYS)
        mark = self.board.mark()
        found = self._rows(self.models.KV).filter(k=k).aggregate(most=Max("v"))["most"]
        self.board.saw(mark, k, found, "aggregate")

    def children(self, random: Random) -> None:
        mark = self.board.mark()
        self.board.saw(mark, CHILD, self._rows(self.models.Child).get(pk=1).parent_id, "child")

    def bulky(self, random: Random) -> None:
        from django.db.models import Count, Max, Min

        mark = self.board.mark()
        found = self._rows(self.models.Bulk).aggregate(n=Count("k"), low=Min("v"), high=Max("v"))
        whole = found["n"] == BULK_ROWS and found["low"] == found["high"]
        self.board.saw(mark, BULK, found["high"] if whole else None, f"bulk {found}")

    def widely(self, random: Random) -> None:
        mark = self.board.mark()
        self.board.saw(mark, WIDE, self._rows(self.models.Wide).get(pk=1).v, "wide")

    def several(self, random: Random) -> None:
        mark = self.board.mark() if self.is_sqlite else None
        with self.atomic():
            for read in (self.by_get, self.by_filter, self.by_get):
                read(random, mark=mark)

    def while_held(self, random: Random) -> None:
        """While rows are not read to their end: SQLite goes on showing what was there then."""
        mark = self.board.mark() if self.is_sqlite else None
        held = self.models.Label.objects.uncached().iterator(chunk_size=1)
        next(held, None)
        for read in (self.by_get, self.by_filter):
            read(random, mark=mark)
        held.close()

    def in_snapshot(self, random: Random) -> None:
        mark = self.board.mark()
        with self.atomic(using=SNAPSHOT):
            if random.random() < 0.5:
                self._rows(self.models.Inbox, SNAPSHOT).count()
            for read in (self.by_get, self.by_filter, self.by_get):
                read(random, SNAPSHOT, mark)

    def own_write(self, random: Random) -> None:
        k = random.randrange(KEYS)
        with suppress(Undone), self.atomic():
            there = self._raise(k, NEVER)
            found = self._rows(self.models.KV).get(pk=k).v
            if there and found < NEVER:
                self.board.saw(self.board.mark(), k, None, f"own write gives {found}")
            raise Undone
        self.by_get(random)

    # Writes: each gives what it has committed.

    def write(self, random: Random, *, rarely: bool) -> bool:
        """One of them; whether it has committed anything."""
        way = random.choice(self.rare if rarely else self.ways)
        try:
            done: Done = way(random.randrange(KEYS))
        except self.faults:
            self.leave()
            raise
        if done is not None and done[1] is not None:
            self.board.wrote(*done)
            return True
        return False

    def _raw(self, statement: str, *values: Any) -> Any:
        with self.connections["default"].cursor() as cursor:
            cursor.execute(statement, values)
            row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]

    def _raise(self, k: int, by: int) -> Any:
        from django.db.models import F

        return self.models.KV.objects.filter(pk=k).update(v=F("v") + by)

    def _own(self, k: int) -> Any:
        rows = self.models.KV.objects.uncached().filter(pk=k)
        return rows.values_list("v", flat=True).first()

    def plainly(self, k: int) -> Done:
        with self.atomic():
            version = self._raw(MORE, k)
        return k, version

    def at_once(self, k: int) -> Done:
        return k, self._raw(MORE, k)

    def by_save(self, k: int) -> Done:
        with self.atomic():
            found = self.models.KV.objects.select_for_update().filter(pk=k).first()
            if found is None:
                return None
            found.v += 1
            found.save()
        return k, found.v

    def by_update(self, k: int) -> Done:
        with self.atomic():
            self._raise(k, 1)
            version = self._own(k)
        return k, version

    def by_bulk(self, k: int) -> Done:
        with self.atomic():
            found = self.models.KV.objects.select_for_update().filter(pk=k).first()
            if found is None:
                return None
            found.v += 1
            self.models.KV.objects.bulk_update([found], ["v"])
        return k, found.v

    def by_text(self, k: int) -> Done:
        with self.atomic():
            self._raw(f"UPDATE kv SET v = v + 1 WHERE k = {k}")
            version = self._own(k)
        return k, version

    def by_view(self, k: int) -> Done:
        from django.db.models import F

        with self.atomic():
            self.models.Seen.objects.filter(pk=k).update(v=F("v") + 1)
            version = self._own(k)
        return k, version

    def by_trigger(self, k: int) -> Done:
        from django.db.models import F

        with self.atomic():
            self.models.Inbox.objects.filter(pk=k).update(n=F("n") + 1)
            version = self._own(k)
        return k, version

    def by_function(self, k: int) -> Done:
        with self.atomic():
            self._raw("SELECT raise_it(%s)", k)
            version = self._own(k)
        return k, version

    def by_block(self, k: int) -> Done:
        with self.atomic():
            self._raw(f"DO $$ BEGIN UPDATE kv SET v = v + 1 WHERE k = {k}; END $$")
            version = self._own(k)
        return k, version

    def anew(self, k: int) -> Done:
        with self.atomic():
            version = self._raw("DELETE FROM kv WHERE k = %s RETURNING v", k)
            if version is None:
                return None
            self.models.KV.objects.create(k=k, v=version + 1)
        return k, version + 1

    def in_vain(self, k: int) -> Done:
        with suppress(Undone), self.atomic():
            self._raise(k, NEVER)
            raise Undone
        return None

    def after_a_savepoint(self, k: int) -> Done:
        with self.atomic():
            with suppress(Undone), self.atomic():
                self._raise(k, NEVER)
                raise Undone
            version = self._raw(MORE, k)
        return k, version

    def cascaded(self, k: int) -> Done:
        with self.atomic():
            version = self._raw("UPDATE parent SET id = id + 1 RETURNING id")
        return CHILD, version

    def child_in_vain(self, k: int) -> Done:
        with suppress(Undone), self.atomic():
            self._raw("UPDATE parent SET id = id + %s", NEVER)
            raise Undone
        return None

    def refilled(self, k: int) -> Done:
        models = self.models
        with self.atomic():
            if not self.is_sqlite:
                self._raw("LOCK TABLE bulk IN ACCESS EXCLUSIVE MODE")
            version = models.Bulk.objects.uncached().get(pk=0).v + 1
            if self.is_sqlite:
                models.Bulk.objects.all().delete()
            else:
                self._raw("TRUNCATE bulk")
            models.Bulk.objects.bulk_create(models.Bulk(k=n, v=version) for n in range(BULK_ROWS))
        return BULK, version

    def altered(self, k: int) -> Done:
        with self.atomic():
            if not self.is_sqlite:
                self._raw("LOCK TABLE wide IN ACCESS EXCLUSIVE MODE")
            version = self._raw("SELECT v FROM wide") + 1
            for statement in ALTERS[version % len(ALTERS)]:
                self._raw(statement.format(next=version))
        return WIDE, version

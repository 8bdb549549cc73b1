"""What `get` gives by statements that were compiled before, as JSON, beside what Django's gives."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportMissingImports=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import django
from django.conf import settings

MODELS = """
import uuid
from django.db import models

class Owner(models.Model):
    name = models.CharField(max_length=40)

class Thing(models.Model):
    key = models.UUIDField(default=uuid.uuid4)
    name = models.CharField(max_length=40, null=True)
    small = models.SmallIntegerField(default=0)
    alive = models.BooleanField(default=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    weight = models.FloatField()
    made = models.DateField()
    seen = models.DateTimeField()
    at = models.TimeField()
    took = models.DurationField()
    owner = models.ForeignKey(Owner, models.CASCADE, null=True)

    class Meta:
        ordering = ["-name"]

class Named(Thing):
    class Meta:
        proxy = True

class Special(Thing):
    level = models.IntegerField()

class Loud(models.QuerySet):
    def _fetch_all(self):
        super()._fetch_all()
        for each in self._result_cache:
            each.name = each.name.upper()

class Shout(models.Model):
    name = models.CharField(max_length=40)
    objects = Loud.as_manager()

class Mark(models.Model):
    name = models.CharField(max_length=40)

class Shared(models.Manager):
    def get_queryset(self):
        if "_rows" not in vars(self):
            self._rows = super().get_queryset()
        return self._rows

class Counting(models.QuerySet):
    copies = 0

    def _clone(self):
        Counting.copies += 1
        return super()._clone()

class Told(models.Model):
    name = models.CharField(max_length=40)
    objects = models.Manager()
    shared = Shared()
    counting = Counting.as_manager()

class Note(models.Model):
    name = models.CharField(max_length=40)
    lines = models.JSONField(default=list)
"""
place = Path(tempfile.mkdtemp())
sys.path.insert(0, str(place))
(place / "store").mkdir()
(place / "store" / "__init__.py").write_text("")
(place / "store" / "models.py").write_text(MODELS)
PORT = os.environ.get("MUSIC", "")
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "music", "USER": "apsperf",
            "HOST": "127.0.0.1", "PORT": PORT}  # fmt: skip
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": place / "store.sqlite"}
settings.configure(
    INSTALLED_APPS=["apsperf_django", "store"],
    DATABASES={"default": POSTGRES if PORT else SQLITE},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=False,
)
django.setup()

from django.db import connection, connections, transaction  # noqa: E402
from django.db.models import CharField, Model  # noqa: E402
from django.db.models.lookups import Exact, IExact  # noqa: E402
from django.db.models.signals import pre_init  # noqa: E402
from django.db.models.sql.compiler import SQLCompiler  # noqa: E402
from django.test.utils import override_settings, register_lookup  # noqa: E402
from store.models import (  # type: ignore[import-not-found]  # noqa: E402
    Mark,
    Named,
    Note,
    Owner,
    Shout,
    Special,
    Thing,
    Told,
)

from apsperf_django import get_suite, ready  # noqa: E402

SUITE = get_suite()
KEY = UUID(int=7)


def make() -> None:
    with connection.schema_editor() as editor:
        for each in (Owner, Thing, Special, Shout, Mark, Note, Told):
            editor.create_model(each)
    connection.close()
    owner = Owner.objects.create(name="owner")
    same: dict[str, Any] = {
        "price": Decimal("9.50"),
        "weight": 1.5,
        "made": date(2024, 2, 29),
        "seen": datetime.fromisoformat("2024-02-29T12:30:01.000005"),
        "at": time(1, 2, 3),
        "took": timedelta(days=1, seconds=2),
        "owner": owner,
    }
    for number in range(1, 31):
        name = None if number == 30 else f"thing {number}"
        small = 0 if number > 25 else number % 3
        Thing.objects.create(id=number, key=UUID(int=number), name=name, small=small, **same)
    Special.objects.create(id=40, key=UUID(int=40), name="special", level=3, **same)
    Shout.objects.create(name="loud")
    Told.objects.create(name="told")
    for name in ("one", "two"):
        Mark.objects.create(name=name)
        Note.objects.create(name=name, lines=[name])


@contextmanager
def listening() -> Iterator[list[str]]:
    """What is sent meanwhile."""
    sent: list[str] = []

    def note(execute: Any, statement: Any, params: Any, *more: Any) -> Any:
        sent.append(f"{statement} {params!r}")
        return execute(statement, params, *more)

    with connection.execute_wrapper(note):
        yield sent


def compiled(run: Callable[[], object]) -> int:
    """How many queries Django has compiled for it."""
    plain, times = SQLCompiler.pre_sql_setup, [0]

    def count(*given: Any, **named: Any) -> Any:
        times[0] += 1
        return plain(*given, **named)

    SQLCompiler.pre_sql_setup = count
    try:
        run()
    finally:
        SQLCompiler.pre_sql_setup = plain
    return times[0]


def forget_rows() -> None:
    tables = SUITE.tables
    assert tables is not None
    tables.results._driver.clear()


def outcome(rows: Any, **values: Any) -> list[str]:
    """What comes of it, and what was sent for it."""
    with listening() as sent:
        try:
            made = rows.get(**values)
        except Exception as fault:
            said = f"{type(fault).__module__} {type(fault).__qualname__} {fault}"
        else:
            state = made._state
            seen = state.adding, state.db, state.fields_cache
            said = f"{type(made)} { ({**vars(made), '_state': seen})!r}"
    return [said, *sent]


CASES: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "key": (Thing, [{"pk": 1}, {"pk": 2}, {"pk": "3"}, {"pk": 4.9}, {"pk": True}, {"pk": None},
                    {"pk": 2**70}, {"pk": -(2**70)}, {"pk": "no number"}, {"pk": ""}, {"pk": 99}]),
    "id": (Named, [{"id": 5}, {"id": 6}]),
    "unique": (Thing, [{"key": KEY}, {"key": UUID(int=8)}, {"key": str(UUID(int=9))},
                       {"key": "none"}, {"key": 11}]),
    "text": (Thing, [{"name": "thing 1"}, {"name": "thing 2"}, {"name": 5}, {"name": None},
                     {"name": ""}, {"name": "it's 100% %s"}]),
    "several": (Thing, [{"small": 1}, {"small": 2}, {"small": 40}, {"small": 0}]),
    "many": (Thing, [{"alive": True}, {"alive": True}, {"alive": False}]),
    "both": (Thing, [{"name": "thing 1", "id": 1}, {"name": "thing 3", "id": 3},
                     {"name": "thing 4", "id": 3}, {"name": "thing 4", "id": None}]),
    "turned": (Thing, [{"id": 1, "name": "thing 1"}, {"id": 3, "name": "thing 3"}]),
    "twice": (Thing, [{"pk": 1, "id": 1}, {"pk": 1, "id": 2}, {"pk": 2, "id": 2}]),
    "none first": (Special, [{"name": None}, {"name": "special"}, {"name": "special"}]),
    "child": (Special, [{"level": 3}, {"level": 3}, {"level": 4}, {"name": "special", "level": 3}]),
    "owner": (Owner, [{"name": "owner"}, {"name": "owner"}]),
}  # fmt: skip


def as_django() -> dict[str, list[list[Any]]]:
    """Of each case: what comes of it, sent again and again, and by Django alone."""
    told: dict[str, list[list[Any]]] = {}
    for name, (model, cases) in CASES.items():
        told[name] = []
        for values in (*cases, *cases):
            forget_rows()
            ours = outcome(model.objects.cached(), **values)
            told[name].append([ours, outcome(model.objects.uncached(), **values)])
    return told


def own_lookup() -> list[Any]:
    """A comparison of a project's own, which is given to a field after the statement is known."""

    class Bare(Exact):
        def get_prep_lookup(self) -> Any:
            return str(self.rhs).strip()

    def read(name: str) -> Any:
        forget_rows()
        with suppress(Mark.DoesNotExist):
            return Mark.objects.cached().get(name=name).name

    seen = [read("one"), read("two"), read(" two ")]
    with register_lookup(CharField, Bare):
        seen.append(read(" two "))
    with register_lookup(CharField, IExact, lookup_name="exact"):
        seen.append(read("TWO"))
    return [*seen, read("TWO"), read("two")]


def patched() -> dict[str, bool]:
    """Who puts something into the place of a part of Django's is asked."""
    told: dict[str, bool] = {}
    for kind, name in (*ready.PARTS, (SQLCompiler, "execute_sql")):
        plain = vars(kind).get(name)
        call, times = getattr(plain, "__func__", plain), [0]

        def count(*given: Any, plain: Any = call, times: Any = times, **named: Any) -> Any:
            times[0] += 1
            return plain(*given, **named)

        forget_rows()
        Thing.objects.cached().get(id=1)
        setattr(kind, name, count if call is plain else classmethod(count))
        try:
            forget_rows()
            Thing.objects.cached().get(id=1)
        finally:
            setattr(kind, name, plain)
        told[name] = times[0] > 0
    return told


def made_late() -> int:
    """How often a model makes its object itself that has come to do so after it was asked for."""
    times = [0]

    def from_db(cls: Any, *given: Any, **named: Any) -> Any:
        times[0] += 1
        return Model.from_db.__func__(cls, *given, **named)

    forget_rows()
    Mark.objects.cached().get(id=1)
    Mark.from_db = classmethod(from_db)
    try:
        forget_rows()
        Mark.objects.cached().get(id=1)
    finally:
        del Mark.from_db
    return times[0]


def sent_again() -> list[int]:
    """How often Django compiles for the same, and where settings have changed meanwhile."""

    def read() -> None:
        forget_rows()
        Owner.objects.cached().get(id=1)

    told = [compiled(read) for _ in range(3)]
    with override_settings(USE_TZ=True):
        told += [compiled(read) for _ in range(2)]
    return told + [compiled(read) for _ in range(2)]


def loud() -> list[str]:
    """A query set that does something with what it has fetched."""
    told = []
    for forgets in (False, True, True, False):
        if forgets:
            forget_rows()
        told.append(Shout.objects.cached().get(pk=1).name)
    return told


def signalled() -> list[int]:
    """Whoever wants to hear of objects that are made hears of each."""
    heard: list[Any] = []

    def hear(sender: Any, **_: Any) -> None:
        heard.append(sender)

    pre_init.connect(hear, sender=Owner)
    told = []
    for _ in range(3):
        forget_rows()
        Owner.objects.cached().get(id=1)
        told.append(len(heard))
    pre_init.disconnect(hear, sender=Owner)
    return told


def in_a_block() -> list[Any]:
    """What a transaction has written is read by itself alone."""
    read: Callable[[], Any] = lambda: Owner.objects.cached().get(id=1).name  # noqa: E731
    told: list[Any] = [read()]
    with suppress(ZeroDivisionError), transaction.atomic():
        Owner.objects.filter(id=1).update(name="not committed")
        told += [read(), read()]
        raise ZeroDivisionError
    told += [read(), hits(read)]
    Owner.objects.filter(id=1).update(name="committed")
    told += [read(), hits(read)]
    Owner.objects.filter(id=1).update(name="owner")
    return told


def hits(read: Callable[[], object]) -> int:
    before = SUITE.database().stats().hits
    read()
    return SUITE.database().stats().hits - before


def broken() -> list[str]:
    """A transaction that has failed, and a table that is not there any more."""
    read: Callable[[], Any] = lambda: Mark.objects.cached().get(name="one").name  # noqa: E731
    told = [read()]
    for change in (lambda: connection.set_rollback(True), lambda: remove(Mark)):
        forget_rows()
        try:
            with transaction.atomic():
                change()
                told.append(read())
        except Exception as fault:
            told.append(type(fault).__name__)
    return told


def remove(model: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {model._meta.db_table}")


def bounded() -> int:
    """So many statements of a connection at most."""
    plain, ready.MOST_READY = ready.MOST_READY, 3
    try:
        for names in (["id"], ["pk"], ["name"], ["id", "name"], ["name", "pk"], ["pk", "name"]):
            forget_rows()
            Owner.objects.cached().get(**{name: "owner" if name == "name" else 1 for name in names})
        return len(vars(connections["default"])[ready.PLACE])
    finally:
        ready.MOST_READY = plain


def of_each_connection() -> list[bool]:
    """What is compiled belongs to one connection, and is sent on it."""
    told: list[bool] = []

    def work() -> None:
        try:
            told.append(ready.PLACE not in vars(connections["default"]))
            for _ in range(2):
                forget_rows()
                Owner.objects.cached().get(id=1)
            known = vars(connections["default"])[ready.PLACE].values()
            told.append(all(each.compiler.connection is connections["default"] for each in known))
        finally:
            connections.close_all()

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    return told


def changeable() -> list[Any]:
    """Objects with values that somebody can change go Django's way."""
    told: list[Any] = []
    for _ in range(2):
        forget_rows()
        note = Note.objects.cached().get(name="one")
        note.lines.append("changed")
        told.append([note.lines, Note.objects.cached().get(name="one").lines])
    return told


def told_otherwise() -> list[list[Any]]:
    """Query sets that were told something before, while the plain row is there."""
    from django.db.models import F, FilteredRelation, Q

    rows = Thing.objects.cached()
    first = rows.filter(id=3)
    ways: list[Any] = [
        *(rows.select_related(None), rows.order_by("owner__name").reverse(), rows.filter(Q())),
        *(rows.select_related("owner"), rows.prefetch_related("owner"), rows.distinct()),
        *(rows.defer("name"), rows.only("name"), rows.defer(None), rows.using("default")),
        *(rows.annotate(double=F("id") * 2), rows.alias(double=F("id") * 2), rows.none()),
        *(rows.extra(select={"one": "1"}), rows.extra(tables=["store_owner"]), rows[:2]),
        *(rows.extra(where=["1 = 0"]), rows.filter(id=4), rows.exclude(id=3), rows.exclude(id=4)),
        *(rows.values("name"), rows.values_list("name"), rows.values("id").annotate(n=F("id"))),
        *(first.union(rows.filter(id=4)), rows.annotate(o=FilteredRelation("owner")), rows.all()),
        *(rows.dates("made", "year"), Owner.objects.get(id=1).thing_set.cached(), rows.reverse()),
    ]
    return [[outcome_of(each), outcome_of(each), outcome_of(each.uncached())] for each in ways]


def outcome_of(rows: Any) -> str:
    try:
        made = rows.get(id=3)
    except Exception as fault:
        return f"{type(fault).__qualname__} {fault}"
    known = vars(made) if hasattr(made, "_state") else {"_state": None, "made": made}
    fields = sorted(made._state.fields_cache) if hasattr(made, "_state") else []
    return f"{type(made)} { ({**known, '_state': fields})!r}"


def altered() -> list[int]:
    """A session that is set otherwise than others reads nothing that is kept."""
    read: Callable[[], Any] = lambda: Owner.objects.cached().get(id=1)  # noqa: E731
    told = [hits(read), hits(read)]
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 5000" if PORT else "CREATE TEMP TABLE own (id int)")
    told += [hits(read), hits(read)]
    connection.close()
    return [*told, hits(read)]


def of_managers() -> list[Any]:
    """What is marked is marked for whoever has asked for it."""
    option: Callable[[Any], Any] = lambda rows: vars(rows.query).get("apsperf_cache")  # noqa: E731
    told: list[Any] = [option(Told.objects.cached(7)), option(Told.objects.cached(ttl="long"))]
    told += map(option, (Told.objects.cached(), Told.objects.uncached(), Told.objects.all()))
    told += [option(Told.shared.cached(7)), option(Told.shared.all())]
    copies = type(Told.counting.all()).copies
    told += [option(Told.counting.cached(7)), type(Told.counting.all()).copies - copies]
    wrongs: tuple[Callable[[], Any], ...] = (
        lambda: Told.objects.cached(1, 2),
        lambda: Told.objects.uncached(1),
    )
    for wrong in wrongs:
        try:
            wrong()
        except TypeError as fault:
            told.append(type(fault).__name__)
    return told


def same_connections() -> list[Any]:
    """The connection of a thread, of a loop, and one that is not known."""
    import asyncio

    from apsperf_django.gets import connection_of

    async def in_a_loop() -> bool:
        async def task() -> bool:
            mine = connections["default"]
            return connection_of("default") is mine and mine is not outer

        return all(await asyncio.gather(task(), task()))

    outer = connections["default"]
    told: list[Any] = [connection_of("default") is outer, asyncio.run(in_a_loop())]
    try:
        connection_of("nowhere")
    except Exception as fault:
        told.append(type(fault).__name__)
    return told


MORE: tuple[Callable[[], Any], ...] = (
    *(sent_again, as_django, own_lookup, patched, loud, signalled, in_a_block),
    *(bounded, of_each_connection, changeable, told_otherwise, altered, of_managers),
    *(same_connections, made_late, broken),
)


def main() -> None:
    make()
    told = {each.__name__: each() for each in MORE}
    connections.close_all()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

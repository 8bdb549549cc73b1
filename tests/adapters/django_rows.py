"""What becomes of rows that Django keeps, as JSON: for each scenario what was read, and how."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportMissingImports=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import django
from django.conf import settings

MODELS = """
from django.db import models

class Artist(models.Model):
    name = models.CharField(max_length=40)
    born = models.DateField(null=True)
    notes = models.JSONField(default=list)

class Album(models.Model):
    title = models.CharField(max_length=40)
    artist = models.ForeignKey(Artist, models.DO_NOTHING, related_name="albums")

class TenantRows(models.QuerySet):
    tenant = 1

    def filter(self, *args, **values):
        return super().filter(*args, **values, tenant=TenantRows.tenant)

class Doc(models.Model):
    slug = models.CharField(max_length=40)
    tenant = models.IntegerField()
    objects = TenantRows.as_manager()

class Priced(models.Model):
    cents = models.IntegerField()

    @classmethod
    def from_db(cls, db, names, values, **more):
        made = super().from_db(db, names, values, **more)
        made.cents *= 100
        return made

class Shown(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        managed, db_table = False, "shown"
"""
place = Path(tempfile.mkdtemp())
sys.path.insert(0, str(place))
(place / "music").mkdir()
(place / "music" / "__init__.py").write_text("")
(place / "music" / "models.py").write_text(MODELS)
PORT = os.environ.get("MUSIC", "")
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "music", "USER": "apsperf",
            "HOST": "127.0.0.1", "PORT": PORT}  # fmt: skip
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": place / "music.sqlite"}
settings.configure(
    INSTALLED_APPS=["apsperf_django", "music"],
    DATABASES={"default": POSTGRES if PORT else SQLITE},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    APSPERF={"database": {"cache_all": os.environ.get("ALL") == "1"}},
    USE_TZ=False,
)
django.setup()

from django.db import DatabaseError, connection, connections, models, transaction  # noqa: E402
from music.models import Album, Artist, Doc, Priced, Shown, TenantRows  # type: ignore[import-not-found]  # noqa: E402

from apsperf_django import get_suite  # noqa: E402

DATABASE = get_suite().database()


def make() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Artist)
        for each in (Album, Doc, Priced):
            editor.create_model(each)
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW shown AS SELECT id, name FROM music_artist")
        cursor.execute(
            "CREATE TABLE review (id INTEGER PRIMARY KEY, artist_id INTEGER"
            " REFERENCES music_artist (id) ON DELETE CASCADE)"
        )
        if PORT:
            cursor.execute(
                "CREATE FUNCTION rename(text) RETURNS void LANGUAGE sql AS"
                " 'UPDATE music_artist SET name = $1 WHERE id = 1'"
            )
    connection.close()  # its session was altered, so that it does not read what others have kept
    for number in range(1, 4):
        Artist.objects.create(id=number, name=f"artist {number}", notes=[number])
        Album.objects.create(id=number, title=f"album {number}", artist_id=number)


def raw(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def apart(run: Callable[[], object]) -> None:
    """On a connection of its own."""

    def work() -> None:
        try:
            run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def by_save() -> None:
    artist = Artist.objects.get(pk=1)
    artist.name = "saved"
    artist.save()


def by_bulk() -> None:
    Artist.objects.bulk_update([Artist(id=1, name="bulk")], ["name"])


def rolled_back() -> None:
    with suppress(RuntimeError), transaction.atomic():
        Artist.objects.filter(pk=1).update(name="never")
        assert list(names()) == ["never", "artist 2", "artist 3"]
        raise RuntimeError


def in_a_savepoint() -> None:
    with transaction.atomic():
        Artist.objects.filter(pk=1).update(name="outer")
        with suppress(RuntimeError), transaction.atomic():
            Artist.objects.filter(pk=1).update(name="inner")
            raise RuntimeError


WRITES: dict[str, Callable[[], object]] = {
    "save": by_save,
    "update": lambda: Artist.objects.filter(pk=1).update(name="updated"),
    "bulk": by_bulk,
    "raw": lambda: raw("UPDATE music_artist SET name = %s WHERE id = 1", "raw"),
    "elsewhere": lambda: apart(lambda: Artist.objects.filter(pk=1).update(name="elsewhere")),
    "rolled back": rolled_back,
    "savepoint": in_a_savepoint,
}
if PORT:
    WRITES["function"] = lambda: raw("SELECT rename('by function')")


def names() -> Any:
    return Artist.objects.cached("long").order_by("id").values_list("name", flat=True)


READS: dict[str, Callable[[], Any]] = {
    "names": lambda: list(names()),
    "get": lambda: Artist.objects.cached().get(pk=1).name,
    "first": lambda: Artist.objects.cached(60).order_by("id").first().name,
    "view": lambda: Shown.objects.cached().get(pk=1).name,
    "joined": lambda: Album.objects.cached().select_related("artist").get(pk=1).artist.name,
    "counted": lambda: Artist.objects.cached().filter(name__startswith="artist").count(),
    "exists": lambda: Artist.objects.cached().filter(name="artist 1").exists(),
    "longest": lambda: Artist.objects.cached().aggregate(m=models.Max("name"))["m"],
    "subquery": lambda: list(
        Album.objects.cached().filter(artist__in=Artist.objects.filter(name="artist 1"))
        .values_list("title", flat=True)
    ),
}  # fmt: skip


def uncached(read: Callable[[], Any]) -> Any:
    from django.db.models import QuerySet

    plain = QuerySet.cached
    QuerySet.cached = lambda rows, *_: plain(rows, ttl=False)
    try:
        return read()
    finally:
        QuerySet.cached = plain


def hits(read: Callable[[], Any]) -> int:
    before = DATABASE.stats().hits
    read()
    return DATABASE.stats().hits - before


def scenario(write: Callable[[], object]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, read in READS.items():
        read()
        told[name] = {"hits": hits(read)}
    write()
    for name, read in READS.items():
        told[name] |= {"given": read(), "true": uncached(read), "after": hits(read)}
    Artist.objects.filter(pk=1).update(name="artist 1")
    return told


def own_objects() -> list[Any]:
    """Who changes an object or a value of it changes nobody else's."""
    first = Artist.objects.cached().get(pk=2)
    first.name = "changed"
    first.notes.append("changed")
    second = Artist.objects.cached().get(pk=2)
    return [second.name, second.notes, second is first, second._state.adding, second._state.db]


def tenants() -> list[int]:
    """A query set that finds rows by more than it is asked for."""
    for tenant in (1, 2):
        Doc(slug="s", tenant=tenant).save(force_insert=True)
    told = []
    for tenant in (1, 1, 2, 2):
        TenantRows.tenant = tenant
        told.append(Doc.objects.cached().get(slug="s").tenant)
    return told


def priced() -> list[int]:
    """A model that makes of a row what it likes."""
    Priced(cents=1).save(force_insert=True)
    return [Priced.objects.cached().get(pk=1).cents for _ in range(3)]


def together() -> list[str]:
    """One query set of several threads."""
    rows = Artist.objects.cached()
    told: list[str] = []

    def work() -> None:
        try:
            told.extend(rows.get(pk=number).name for number in (1, 2, 3) * 20)
        except Exception as fault:
            told.append(repr(fault))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(set(told))


def switched() -> list[str]:
    """Autocommit is switched on, which commits on SQLite."""
    told = [names()[0], names()[0]]
    transaction.set_autocommit(False)
    Artist.objects.filter(pk=1).update(name="committed")
    if PORT:
        transaction.commit()
    transaction.set_autocommit(True)
    Artist.objects.uncached().count()
    told.append(names()[0])
    Artist.objects.filter(pk=1).update(name="artist 1")
    return told


def settled() -> list[str]:
    """A session whose settings were changed by a function."""
    told = [names()[0], names()[0]]
    if PORT:
        raw("CREATE SCHEMA tenant2")
        raw("CREATE TABLE tenant2.music_artist AS SELECT * FROM music_artist")
        raw("UPDATE tenant2.music_artist SET name = 'tenant 2'")
        told += [names()[0], names()[0]]
        with transaction.atomic():
            raw("SELECT set_config('search_path', 'tenant2', true)")
            told.append(names()[0])
        connection.close()
        told.append(names()[0])
        raw("DROP SCHEMA tenant2 CASCADE")
        connection.close()
    return told


def missing() -> list[str]:
    told = []
    for values in ({"pk": 99}, {"name__startswith": "artist"}):
        try:
            Artist.objects.cached().get(**values)
        except (Artist.DoesNotExist, Artist.MultipleObjectsReturned) as fault:
            told.append(type(fault).__name__)
    return told


def album(number: int) -> Any:
    try:
        return Album.objects.cached().get(pk=number)
    except Album.DoesNotExist as fault:
        return f"{type(fault) is Album.DoesNotExist} {fault}"


def alone() -> dict[str, Any]:
    """An object whose values are all plain, and that there is none, kept without a statement."""
    fresh, first, again = Album.objects.uncached().get(pk=1), album(1), album(1)
    names = ("adding", "db", "fields_cache")
    states = [[getattr(each._state, name) for name in names] for each in (fresh, first, again)]
    plain = [{**vars(each), "_state": None} for each in (fresh, first, again)]
    again.artist_id, again.title = 2, "changed"
    nobody: list[Any] = [album(77), hits(lambda: album(77)), album(77)]
    Album.objects.create(id=77, title="there", artist_id=1)
    nobody += [album(77).title, hits(lambda: album(77))]
    Album.objects.filter(pk=77).delete()
    nobody.append(album(77))
    with suppress(ZeroDivisionError), transaction.atomic():
        Album.objects.filter(pk=1).update(title="not committed")
        nobody.append(album(1).title)
        raise ZeroDivisionError
    same = [list(map(repr, each)) for each in (states, plain)]
    return {"same": same, "nobody": nobody, "own": album(1).title == fresh.title}


def together_for_one() -> list[int]:
    """Of all who want the same row at once one sends the statement."""
    Album.objects.create(id=78, title="wanted", artist_id=1)
    start, sent, titles = threading.Barrier(8), [0], []

    def count(execute: Any, *given: Any) -> Any:
        sent[0] += 1
        time.sleep(0.2)
        return execute(*given)

    def read() -> None:
        connection.ensure_connection()
        start.wait(10)
        with connection.execute_wrapper(count):
            titles.append(album(78).title)

    threads = [threading.Thread(target=apart, args=(read,)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    Album.objects.filter(pk=78).delete()
    return [sent[0], titles.count("wanted")]


def once_there() -> list[int]:
    """A row that was not there is seen once it is."""
    rows = Artist.objects.cached().filter(name="new")
    counts = [len(rows.all())]
    Artist.objects.create(id=50, name="new")
    counts.append(len(rows.all()))
    Artist.objects.filter(pk=50).delete()
    return [*counts, len(rows.all())]


def slow_reader() -> list[str]:
    """Who began before a commit does not keep what it read for others."""
    read, written = threading.Event(), threading.Event()

    def reader() -> None:
        with transaction.atomic():
            Artist.objects.uncached().get(pk=3)
            READS["names"]()
            read.set()
            written.wait(10)
            READS["names"]()

    thread = threading.Thread(target=lambda: apart(reader))
    thread.start()
    read.wait(10)
    try:
        raw("UPDATE music_artist SET name = 'fresh' WHERE id = 3")
    except django.db.OperationalError:
        pass  # SQLite has one writer, and may have the reader in its way
    finally:
        written.set()
    thread.join()
    given, true = READS["names"](), uncached(READS["names"])
    Artist.objects.filter(pk=3).update(name="artist 3")
    return [str(given), str(true)]


def cascade() -> list[int]:
    Artist.objects.create(id=60, name="gone")
    raw("INSERT INTO review VALUES (1, 60)")
    counted = Artist.objects.cached().filter(pk=60)
    counts = [counted.count()]
    raw("DELETE FROM review")
    raw("DELETE FROM music_artist WHERE id = 60")
    return [*counts, counted.count()]


def storm() -> dict[str, int]:
    """Threads that read and write; nobody reads a name older than the last that was committed."""
    stale, reads, stop = [0], [0], threading.Event()
    least = [0]
    Artist.objects.filter(pk=2).update(name="0")

    def work() -> None:
        while not stop.is_set():
            floor = least[0]
            seen = int(Artist.objects.cached().get(pk=2).name)
            listed = int(names()[1])
            stale[0] += min(seen, listed) < floor
            reads[0] += 2

    def guarded() -> None:
        try:
            work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guarded) for _ in range(4)]
    for thread in threads:
        thread.start()
    before = DATABASE.stats().hits
    for number in range(1, 60):
        Artist.objects.filter(pk=2).update(name=str(number))
        least[0] = number
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    Artist.objects.filter(pk=2).update(name="artist 2")
    return {"stale": stale[0], "reads": reads[0], "hits": DATABASE.stats().hits - before}


def refused() -> str:
    try:
        list(Artist.objects.cached("forever"))
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"
    return ""


def left_alone() -> list[int]:
    """What is not asked for, written for, streamed or switched off is not kept."""
    reads: list[Callable[[], Any]] = [
        lambda: list(Artist.objects.cached().iterator()),
        lambda: list(Artist.objects.uncached()),
        lambda: Artist.objects.uncached().get(pk=1),
    ]
    if PORT:
        reads.append(locked)
    for read in reads:
        read()
    return [hits(read) for read in reads]


def locked() -> None:
    with transaction.atomic():
        list(Artist.objects.cached().select_for_update().filter(pk=1))


def without_the_app() -> list[str]:
    """A test may have other apps installed for a while; its connections are the same."""
    from django.apps import apps as registry

    apps: Any = registry

    read: Callable[[], str] = lambda: Artist.objects.cached().get(pk=1).name  # noqa: E731
    seen = [read(), read()]
    apps.set_available_apps(["music"])
    try:
        Artist.objects.filter(pk=1).update(name="written meanwhile")
        seen.append(read())
    finally:
        apps.unset_available_apps()
    seen.append(read())
    Artist.objects.filter(pk=1).update(name="artist 1")
    return seen


def without_a_database() -> list[int]:
    """As Django makes and drops the databases of tests."""
    if not PORT:
        return [1]
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1")
        return list(cursor.fetchone())


def as_named() -> bool:
    return bool(models.QuerySet.get.__doc__ == Artist.objects.get.__doc__)


def shown(told: list[Any]) -> None:
    told.append(names()[0])


def returned() -> list[Any]:
    """What a write returns is there when its commit is told, however it is fetched."""
    names()[0]
    told: list[Any] = []
    with connection.cursor() as cursor:
        for name in ("returned", "again"):
            cursor.execute("UPDATE music_artist SET name = %s RETURNING id", [name])
            apart(partial(shown, told))
            told += [
                cursor.fetchone() is not None,
                len(cursor.fetchmany(1)),
                len(cursor.fetchall()),
            ]
        cursor.execute("UPDATE music_artist SET name = 'artist ' || id RETURNING id")
        told.append(len(list(cursor)))
        cursor.execute("SELECT name FROM music_artist WHERE id = 1")
        told.append(cursor.fetchone()[0])
    return told


def cut_off() -> str:
    """What a project hears of a connection that was cut off is Django's own fault."""
    if not PORT:
        return "OperationalError"
    raw("SELECT 1")
    number = connection.connection.info.backend_pid
    apart(lambda: raw("SELECT pg_terminate_backend(%s)", number))
    try:
        raw("DO $$ BEGIN NULL; END $$")
    except DatabaseError as fault:
        return type(fault).__name__
    finally:
        connection.close()
    return "nothing"


MORE: tuple[Callable[[], Any], ...] = (
    *(own_objects, tenants, priced, together, switched, settled),
    *(
        missing,
        alone,
        together_for_one,
        once_there,
        slow_reader,
        cascade,
        storm,
        refused,
        left_alone,
        returned,
        cut_off,
    ),
    *(without_the_app, without_a_database, as_named),
)


def main() -> None:
    make()
    told: dict[str, Any] = {name: scenario(write) for name, write in WRITES.items()}
    told["more"] = {each.__name__: each() for each in MORE}
    told["by itself"] = [hits(lambda: Artist.objects.get(pk=1)) for _ in range(4)]
    connections.close_all()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

"""What Django's querysets load in vain and what they do not, as JSON: each pattern's log lines."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportMissingImports=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import copy
import gc
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings

MODELS = """
from django.db import models

class Label(models.Model):
    name = models.CharField(max_length=40)

class Artist(models.Model):
    name = models.CharField(max_length=40)
    bio = models.TextField(default="")
    label = models.ForeignKey(Label, models.CASCADE, related_name="artists")

    def natural_key(self):
        return (self.name,)

class Cover(models.Model):
    url = models.CharField(max_length=40)

class Tag(models.Model):
    name = models.CharField(max_length=40)

class Album(models.Model):
    title = models.CharField(max_length=40)
    body = models.TextField(default="")
    facts = models.JSONField(default=list)
    artist = models.ForeignKey(Artist, models.CASCADE, related_name="albums")
    cover = models.OneToOneField(Cover, models.CASCADE, null=True, related_name="album")
    tags = models.ManyToManyField(Tag, related_name="albums")

    def __str__(self):
        return f"{self.title} by {self.artist.name}"

    @property
    def summary(self):
        return self.body[:10]

class Shown(Album):
    class Meta:
        proxy = True

class OddText(str):
    def isascii(self):
        raise RuntimeError("odd")

class OddField(models.TextField):
    def from_db_value(self, value, expression, connection):
        return OddText(value)

class Odd(models.Model):
    text = OddField(default="x")

class Frozen(models.Model):
    text = models.TextField(default="x" * 2000)

    def __setattr__(self, name, value):
        if name == "__dict__":
            raise RuntimeError(name)
        super().__setattr__(name, value)

class Single(Album):
    side = models.CharField(max_length=1, default="A")
"""
place = Path(tempfile.mkdtemp())
sys.path.insert(0, str(place))
(place / "music").mkdir()
(place / "music" / "__init__.py").write_text("")
(place / "music" / "models.py").write_text(MODELS)
PORT = os.environ.get("MUSIC", "")
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "apsperf",
            "HOST": "127.0.0.1", "PORT": PORT}  # fmt: skip
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": place / "music.sqlite"}
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "apsperf_django", "music"],
    DATABASES={"default": POSTGRES if PORT else SQLITE},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["apsperf_django.middleware.SuiteMiddleware"],
    ALLOWED_HOSTS=["*"],
    APSPERF={
        "database": {"unused_loads": float(os.environ.get("SHARE", "1"))},
        "logging": {"interval_s": 0.01},
    },
    USE_TZ=False,
)
django.setup()

from django.core import serializers  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Prefetch, prefetch_related_objects  # noqa: E402
from django.forms.models import model_to_dict  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.template import Context, Template  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402
from music.models import Album, Artist, Cover, Frozen, Label, Odd, Shown, Single, Tag  # type: ignore[import-not-found]  # noqa: E402

from apsperf_django import get_suite  # noqa: E402

LONG = "é" * 2000  # 4,000 bytes


def make() -> None:
    with connection.schema_editor() as editor:
        for each in (Label, Artist, Cover, Tag, Album, Single, Odd, Frozen):
            editor.create_model(each)
    label = Label.objects.create(name="label")
    tag = Tag.objects.create(name="tag")
    for number in range(1, 6):
        artist = Artist.objects.create(name=f"artist {number}", label=label, bio="short")
        cover = Cover.objects.create(url="cover") if number < 4 else None
        title = f"album {number}"
        made = Album.objects.create(title=title, artist=artist, cover=cover, body="short")
        made.tags.add(tag)


# What is loaded in vain, and what is to be said of it.


def select_only_key() -> None:
    for album in Album.objects.select_related("artist"):
        assert album.artist_id


def select_got() -> None:
    assert Album.objects.select_related("artist").get(pk=1).title


def select_first() -> None:
    album = Album.objects.select_related("artist", "cover").order_by("id").first()
    assert album.cover.url


def select_nested() -> None:
    for album in Album.objects.select_related("artist__label"):
        assert album.artist.name


def select_nested_none() -> None:
    for album in Album.objects.select_related("artist__label"):
        assert album.title


def select_reverse() -> None:
    for cover in Cover.objects.select_related("album"):
        assert cover.url


def select_all() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer releases want names
        rows = Album.objects.select_related()
    for album in rows:
        assert album.title


def prefetch_many() -> None:
    for artist in Artist.objects.prefetch_related("albums"):
        assert artist.name


def prefetch_m2m() -> None:
    for album in Album.objects.prefetch_related("tags"):
        assert album.title


def prefetch_key() -> None:
    for album in Album.objects.prefetch_related("artist"):
        assert album.title


def prefetch_nested() -> None:
    for artist in Artist.objects.prefetch_related("albums__tags"):
        for album in artist.albums.all():
            assert album.title


def prefetch_queryset() -> None:
    rows = Album.objects.select_related("cover")
    for artist in Artist.objects.prefetch_related(Prefetch("albums", rows)):
        for album in artist.albums.all():
            assert album.title


def only_counted() -> None:
    assert len(Album.objects.select_related("artist")) == 5


def in_template() -> None:
    page = Template("{% for album in albums %}{{ album.title }}{% endfor %}")
    page.render(Context({"albums": Album.objects.select_related("artist")}))


def through_manager() -> None:
    for artist in Artist.objects.all()[:1]:
        for album in artist.albums.select_related("cover"):
            assert album.artist.name


def not_often_yet() -> None:
    assert list(Album.objects.select_related("artist"))


async def awaited() -> None:
    async for album in Album.objects.select_related("artist"):
        assert album.title


BAD: dict[Callable[[], object], list[list[str]]] = {
    select_only_key: [["Album.artist", "remove select_related('artist')"]],
    select_got: [["Album.artist", "remove select_related('artist')"]],
    select_first: [["Album.artist", "remove select_related('artist')"]],
    select_nested: [
        ["Artist.label", "select_related('artist') in place of 'artist__label'"],
    ],
    select_nested_none: [["Album.artist", "remove select_related('artist__label')"]],
    select_reverse: [["Cover.album", "remove select_related('album')"]],
    select_all: [["Album.artist", "name what is wanted in select_related(), without 'artist'"]],
    prefetch_many: [["Artist.albums", "remove prefetch_related('albums')"]],
    prefetch_m2m: [["Album.tags", "remove prefetch_related('tags')"]],
    prefetch_key: [["Album.artist", "remove prefetch_related('artist')"]],
    prefetch_nested: [["Album.tags", "prefetch_related('albums') in place of 'albums__tags'"]],
    prefetch_queryset: [["Album.cover", "remove select_related('cover')"]],
    only_counted: [["Album.artist", "remove select_related('artist')"]],
    in_template: [["Album.artist", "remove select_related('artist')"]],
    through_manager: [["Album.cover", "remove select_related('cover')"]],
    awaited: [["Album.artist", "remove select_related('artist')"]],
}


# Good code, of which nothing is said.

KEPT: list[Any] = []
CALLS = [0]


def used() -> None:
    for album in Album.objects.select_related("artist__label", "cover"):
        assert album.artist.label.name
        assert album.cover is None or album.cover.url


def some_rows() -> None:
    for album in Album.objects.select_related("artist"):
        if album.pk == 3:
            assert album.artist.name


def by_str() -> None:
    assert [str(album) for album in Album.objects.select_related("artist")]


def some_times() -> None:
    CALLS[0] += 1
    for album in Album.objects.select_related("artist"):
        assert album.title
        if CALLS[0] % 4 == 2:
            assert album.artist.name


def template() -> None:
    page = Template("{% for album in albums %}{{ album.artist.name }}{% endfor %}")
    page.render(Context({"albums": Album.objects.select_related("artist")}))


def prefetched() -> None:
    for artist in Artist.objects.prefetch_related("albums__tags"):
        assert [list(album.tags.all()) for album in artist.albums.all()]


def prefetch_counted() -> None:
    for artist in Artist.objects.prefetch_related("albums"):
        assert artist.albums.count()


def prefetch_after() -> None:
    artists = list(Artist.objects.all())
    prefetch_related_objects(artists, "albums")
    assert [list(artist.albums.all()) for artist in artists]


def to_attr() -> None:
    for artist in Artist.objects.prefetch_related(Prefetch("albums", to_attr="them")):
        assert artist.them


async def awaited_used() -> None:
    async for album in Album.objects.select_related("artist"):
        assert album.artist.name
    assert (await Album.objects.select_related("artist").afirst()).artist.name


def empty() -> None:
    assert not list(Album.objects.select_related("artist").filter(pk=0))
    assert not list(Artist.objects.prefetch_related("albums").filter(pk=0))


def nothing_there() -> None:
    assert len(Album.objects.select_related("cover").filter(cover=None)) == 2


def no_children() -> None:
    label = Label.objects.prefetch_related("artists").create(name="empty")
    assert Label.objects.prefetch_related("artists").get(pk=label.pk).name
    label.delete()


def never_iterated() -> None:
    Album.objects.select_related("artist").prefetch_related("tags")


def not_fetched() -> None:
    rows = Album.objects.select_related("artist")
    assert rows.count() == 5
    assert rows.exists()


def values() -> None:
    assert list(Album.objects.select_related("artist").values("title"))
    assert list(Album.objects.select_related("artist").values_list("pk", flat=True))


def iterator() -> None:
    for album in Album.objects.select_related("artist").iterator():
        assert album.title


def sent(value: Any) -> Any:
    """What comes back of Django's own cache, which keeps a copy as bytes."""
    cache.set("sent", value)
    return cache.get("sent")


def pickled() -> None:
    sent(list(Album.objects.select_related("artist").prefetch_related("tags")))


def in_djangos_cache() -> None:
    cache.set("albums", list(Album.objects.select_related("artist")))


def copied() -> None:
    for album in Album.objects.select_related("artist"):
        copy.copy(album)
    for artist in Artist.objects.prefetch_related("albums"):
        copy.deepcopy(artist)


def handed_out() -> None:
    KEPT.extend(Album.objects.select_related("artist"))


def in_a_thread() -> None:
    rows = list(Album.objects.select_related("artist"))
    thread = threading.Thread(target=lambda: [album.artist.name for album in rows])
    thread.start()
    thread.join()


def serialised() -> None:
    rows = Album.objects.select_related("artist").prefetch_related("tags")
    serializers.serialize("json", rows, use_natural_foreign_keys=True)


def saved() -> None:
    album = Album.objects.select_related("artist").get(pk=1)
    album.title = "album 1"
    album.save()


def deleted() -> None:
    with transaction.atomic():
        made = Album.objects.create(title="x", artist_id=1)
        Album.objects.select_related("artist").get(pk=made.pk).artist.albums.last().delete()


def attributes() -> None:
    for album in Album.objects.select_related("artist"):
        assert dict(album._state.fields_cache)
    for album in Album.objects.select_related("artist"):
        assert {**album._state.fields_cache}
    for album in Album.objects.select_related("artist"):
        assert getattr(album, "artist", None)


GOOD: tuple[Callable[[], object], ...] = (
    *(used, some_rows, by_str, some_times, template, prefetched, prefetch_counted, prefetch_after),
    *(to_attr, empty, nothing_there, no_children, never_iterated, not_fetched, values, iterator),
    *(pickled, in_djangos_cache, copied, handed_out, in_a_thread, serialised, saved, deleted),
    *(attributes, awaited_used),
)


# Wide columns.


def wide() -> None:
    for album in Album.objects.all():
        assert album.title


def wide_json() -> None:
    for album in Album.objects.defer("body"):
        assert album.title


def wide_related() -> None:
    for album in Album.objects.defer("body", "facts").select_related("artist"):
        assert album.artist.name


def wide_prefetched() -> None:
    for artist in Artist.objects.defer("bio").prefetch_related("albums"):
        assert [album.title for album in artist.albums.all()]


def wide_proxy() -> None:
    for album in Shown.objects.defer("facts"):
        assert album.title


def wide_child() -> None:
    for album in Single.objects.defer("facts"):
        assert album.title


def wide_set() -> None:
    for album in Album.objects.defer("facts"):
        album.body = "new"


WIDE: dict[Callable[[], object], list[list[str]]] = {
    wide: [["Album.body", "defer('body')"], ["Album.facts", "defer('facts')"]],
    wide_json: [["Album.facts", "defer('facts')"]],
    wide_related: [["Artist.bio", "defer('artist__bio')"]],
    wide_prefetched: [
        ["Album.body", "Prefetch('albums', Album.objects.defer('body'))"],
        ["Album.facts", "Prefetch('albums', Album.objects.defer('facts'))"],
    ],
    wide_proxy: [["Shown.body", "defer('body')"]],
    wide_child: [["Single.body", "defer('body')"]],
    wide_set: [["Album.body", "defer('body')"]],
}
ONE = Album.objects.defer("facts")


def read() -> None:
    assert [album.body for album in ONE.all()]


def read_one() -> None:
    assert [album.body for album in ONE.all() if album.pk == 2]


def read_by_property() -> None:
    assert [album.summary for album in ONE.all()]


def read_by_getattr() -> None:
    assert [getattr(album, "body", "") for album in ONE.all()]


def read_by_vars() -> None:
    assert [dict(vars(album)) for album in ONE.all()]


def read_by_items() -> None:
    assert [list(vars(album).items()) for album in ONE.all()]


def read_by_name() -> None:
    assert [album.__dict__["body"] for album in ONE.all()]


def read_by_form() -> None:
    assert [model_to_dict(album) for album in ONE.all()]


def read_by_serialiser() -> None:
    assert serializers.serialize("json", Album.objects.all())


def read_by_template() -> None:
    Template("{% for a in albums %}{{ a.body|length }}{% endfor %}").render(
        Context({"albums": ONE.all()})
    )


def read_by_djangos_cache() -> None:
    assert sent(list(ONE.all()))


def read_by_copy() -> None:
    assert [copy.copy(album) for album in ONE.all()]
    assert [copy.deepcopy(album) for album in ONE.all()]


def read_by_save() -> None:
    Album.objects.get(pk=1).save()


def read_proxy() -> None:
    assert [album.body for album in Shown.objects.defer("facts")]


def read_child() -> None:
    assert [album.body for album in Single.objects.defer("facts")]


def read_values() -> None:
    assert list(Album.objects.values("body"))


def read_deferred() -> None:
    assert [album.title for album in Album.objects.only("title")]


def read_narrow() -> None:
    assert [label.pk for label in Label.objects.all()]


def read_kept() -> None:
    KEPT.extend(ONE.all())


READ: tuple[Callable[[], object], ...] = (
    *(read, read_one, read_by_property, read_by_getattr, read_by_vars, read_by_items),
    *(read_by_name, read_by_form, read_by_serialiser, read_by_template, read_by_djangos_cache),
    *(read_by_copy, read_by_save, read_proxy, read_child, read_values, read_deferred),
    *(read_narrow, read_kept),
)


class Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.facts.append({**vars(record)["apsperf"], "text": record.getMessage()})


def view(_: HttpRequest, name: str) -> HttpResponse:
    globals()[name]()
    return HttpResponse(name)


async def aview(_: HttpRequest) -> HttpResponse:
    await awaited()
    return HttpResponse("awaited")


async def aview_used(_: HttpRequest) -> HttpResponse:
    await awaited_used()
    return HttpResponse("awaited_used")


urlpatterns = [path("awaited", aview), path("awaited_used", aview_used), path("<name>", view)]
LINES = Told()


def said(ask: Callable[[], object], times: int = 3) -> list[Any]:
    """What is said of a view that is asked so often."""
    suite = get_suite()
    gc.collect()
    suite.report()
    LINES.facts.clear()
    for _ in range(times):
        assert Client().get(f"/{ask.__name__}").status_code == 200
        gc.collect()
    suite.flush()
    suite.report()
    found = [each for each in LINES.facts if each["event"] == "unused_load"]
    assert all(f" in {ask.__name__}" in each["site"] for each in found), found
    known = {(each["what"], each["fix"]): each for each in found}
    return [known[key] for key in sorted(known)]


def brief(found: list[Any]) -> list[list[str]]:
    return [[each["what"], each["fix"]] for each in found]


def behaves() -> dict[str, Any]:
    """Objects whose load is watched do as others."""
    seen: dict[str, Any] = {}
    album = Album.objects.select_related("artist").prefetch_related("tags").get(pk=1)
    hooked = type(vars(Album)["body"]).__name__
    seen["plain"] = [
        hooked,
        Album.body.field.name,
        type(album) is Album,
        album.get_deferred_fields(),
    ]
    seen["plain"][3] = sorted(seen["plain"][3])
    again = sent(album)
    seen["pickled"] = [
        type(vars(again)).__name__,
        type(again._state.fields_cache).__name__,
        type(vars(again)["_prefetched_objects_cache"]).__name__,
        again == album,
        again.body == album.body,
        again.artist.name,
        len(again.tags.all()),
    ]
    del album.body
    seen["deleted"] = [sorted(album.get_deferred_fields()), album.body == LONG]
    del album.body
    try:
        del album.body
    except AttributeError as error:
        seen["twice"] = str(error)
    album.body = "own"
    seen["set"] = [album.body, vars(album)["body"]]
    album.refresh_from_db()
    seen["refreshed"] = album.body == LONG
    album.artist = Artist.objects.get(pk=2)
    seen["related"] = [album.artist_id, album.artist.name]
    album.artist_id = 3
    seen["followed"] = album.artist.name
    album.tags.add(Tag.objects.create(name="more"))
    seen["added"] = album.tags.count()
    seen["queried"] = Album.objects.filter(body=LONG).count()
    only = Album.objects.only("title").get(pk=1)
    seen["later"] = [sorted(only.get_deferred_fields()), only.body == LONG]
    for each in (copy.copy(album), copy.deepcopy(album)):
        assert each.body == LONG
        assert each == album
    assert "_state" in repr(vars(album))
    assert len(json.dumps({k: str(v) for k, v in vars(album).items()})) > 4000
    return seen


def hooks() -> list[str]:
    kinds = [Album, Artist, Shown, Single]
    return [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, each in vars(kind).items()
        if type(each).__name__ == "Hook"
    ]


def storm() -> list[Any]:
    """Threads that read and delete columns while hooks come and go."""
    suite = get_suite()
    wrong: list[str] = []

    def work() -> None:
        try:
            for _ in range(10):
                for album in Album.objects.select_related("artist"):
                    if album.body != LONG or not album.artist.name:
                        wrong.append(album.title)
                    album.body = "x"
                    del album.body
                suite.report()
        except Exception as fault:
            wrong.append(repr(fault))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def odd() -> None:
    assert Odd.objects.get().text == "x"


def frozen() -> None:
    assert Frozen.objects.get().pk


def faults() -> list[Any]:
    """What cannot be looked at is not, and models that refuse to be changed are."""
    Odd.objects.create()
    Frozen.objects.create()
    told = [said(odd), brief(said(frozen))]
    return [*told, get_suite().faults.counts["a look at what was loaded"]]


def forked() -> int:
    """A child whose parent's lock was held when it began; 0 where it is well."""
    from apsperf_django.loads import _watching

    with _watching[0].columns._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            connection.connection = None  # it is the parent's
            wide()
            get_suite().report()
            os._exit(0)
    return os.waitpid(child, 0)[1]


def connections_open() -> list[bool]:
    """When Django opens a connection, as the README says."""
    told = []
    connection.close()
    told.append(connection.connection is not None)
    Album.objects.all()
    told.append(connection.connection is not None)
    with transaction.atomic():
        told.append(connection.connection is not None)
    return told


def off() -> dict[str, Any]:
    from django.db.models import QuerySet

    get_suite()
    list(Album.objects.select_related("artist"))
    own = {"fetch": QuerySet._fetch_all.__module__, "aiter": QuerySet.__aiter__.__module__}
    return {**own, "hooks": hooks()}


def main() -> None:
    logging.getLogger("apsperf.database").addHandler(LINES)
    make()
    gc.freeze()  # the collections below look at what is made from here on
    told: dict[str, Any] = {"open": connections_open(), "off": off()}
    if told["off"]["fetch"].startswith("apsperf"):
        told["bad"] = {each.__name__: [brief(said(each)), wanted] for each, wanted in BAD.items()}
        told["good"] = {each.__name__: said(each, 4) for each in GOOD}
        Album.objects.update(body=LONG, facts=["x" * 1500])
        Artist.objects.update(bio=LONG)
        single = Single(title="single", artist_id=1, body=LONG)
        single.save()
        told["wide"] = {each.__name__: [brief(said(each)), wanted] for each, wanted in WIDE.items()}
        told["read"] = {each.__name__: said(each, 4) for each in READ}
        told["behaves"] = behaves()
        told["storm"] = storm()
        told["faults"] = faults()
        told["forked"] = forked()
        told["twice"] = said(not_often_yet, 2)
        report = get_suite().report()
        told["report"] = [each for each in report.as_dict()["unused"] if " in wide" in each["site"]]
        told["words"] = str(report)
        KEPT.clear()
        gc.collect()
        get_suite().report()
        told["hooks"] = hooks()
        list(Album.objects.all())
        get_suite().close()
        told["closed"] = off()
    with connection.cursor() as cursor:
        if PORT:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    connection.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

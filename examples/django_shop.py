"""A small record shop with Django and its ORM, in one file.

Its pages are for everybody whatever the session's cookie says (`shared`), but for the basket.

python examples/django_shop.py runserver
"""

# Django comes without types, and its Meta classes say all there is to say.
# mypy: disable-error-code="misc, untyped-decorator"
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# ruff: noqa: D106

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import models
from django.db.models import F, Sum
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods

from apsperf_django import cached

if TYPE_CHECKING:
    from django.http import HttpRequest

CHINOOK = Path(__file__).resolve().parent / "data" / "chinook.sqlite"

settings.configure(
    SECRET_KEY="only for the example",
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["apsperf_django"],
    MIDDLEWARE=[
        "apsperf_django.middleware.SuiteMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    APSPERF={"timing": {"server_timing": "on"}},
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{CHINOOK.as_uri()}?mode=ro",
            "OPTIONS": {"uri": True},
        }
    },
    USE_TZ=True,
)
django.setup()


class Artist(models.Model):
    """Who made the record."""

    id = models.AutoField(primary_key=True, db_column="ArtistId")
    name = models.CharField(max_length=120, db_column="Name")

    class Meta:
        app_label, managed, db_table = "shop", False, "Artist"


class Album(models.Model):
    """A record."""

    id = models.AutoField(primary_key=True, db_column="AlbumId")
    title = models.CharField(max_length=160, db_column="Title")
    artist = models.ForeignKey(Artist, models.PROTECT, db_column="ArtistId")

    class Meta:
        app_label, managed, db_table = "shop", False, "Album"


class Track(models.Model):
    """What is sold."""

    id = models.AutoField(primary_key=True, db_column="TrackId")
    name = models.CharField(max_length=200, db_column="Name")
    album = models.ForeignKey(Album, models.PROTECT, db_column="AlbumId")
    price = models.FloatField(db_column="UnitPrice")

    class Meta:
        app_label, managed, db_table = "shop", False, "Track"


class InvoiceLine(models.Model):
    """One track of a sale."""

    id = models.AutoField(primary_key=True, db_column="InvoiceLineId")
    track = models.ForeignKey(Track, models.PROTECT, db_column="TrackId")
    quantity = models.IntegerField(db_column="Quantity")

    class Meta:
        app_label, managed, db_table = "shop", False, "InvoiceLine"


@require_GET
@cached(ttl="long", shared=True)
def artists(_: HttpRequest) -> JsonResponse:
    """All artists."""
    return JsonResponse({"artists": list(Artist.objects.order_by("name").values())})


@require_GET
@cached(ttl="long", shared=True)
def artist(_: HttpRequest, artist_id: int) -> JsonResponse:
    """An artist with the albums in stock."""
    found = get_object_or_404(Artist, pk=artist_id)
    albums = found.album_set.order_by("title").values("id", "title")
    return JsonResponse({"id": found.id, "name": found.name, "albums": list(albums)})


@require_GET
@cached(ttl="medium", shared=True)
def album(_: HttpRequest, album_id: int) -> JsonResponse:
    """An album with its tracks."""
    found = get_object_or_404(Album.objects.select_related("artist"), pk=album_id)
    tracks = found.track_set.order_by("id").values("id", "name", "price")
    return JsonResponse({"title": found.title, "artist": found.artist.name, "tracks": list(tracks)})


@require_GET
@cached(ttl="short", shared=True)
def charts(_: HttpRequest) -> JsonResponse:
    """The best sellers."""
    sold = InvoiceLine.objects.values("track_id", name=F("track__name"))
    best = sold.annotate(sold=Sum("quantity")).order_by("-sold", "track_id")[:50]
    return JsonResponse({"charts": list(best)})


@require_GET
@cached(ttl="short", shared=True)
def export(_: HttpRequest) -> StreamingHttpResponse:
    """All albums as text, sent while they are read."""
    albums = Album.objects.order_by("id").iterator(chunk_size=100)
    lines = (f"{one.id}\t{one.title}\n" for one in albums)
    return StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")


@require_http_methods(["GET", "POST"])
def basket(request: HttpRequest) -> JsonResponse:
    """The visitor's own basket. It reads the session, so it is never kept."""
    tracks = request.session.get("basket", [])
    if request.method == "POST":
        tracks = request.session["basket"] = [*tracks, int(request.POST["track"])]
    return JsonResponse({"basket": tracks})


urlpatterns = [
    path("artists", artists),
    path("artists/<int:artist_id>", artist),
    path("albums/<int:album_id>", album),
    path("charts", charts),
    path("export", export),
    path("basket", basket),
]

if __name__ == "__main__":
    execute_from_command_line()

"""What the shop sells: artists, albums, tracks, genres, and the search."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_http_methods

from apsperf_django import cached, get_suite

from .account import from_staff, sign_in_first
from .forms import Price, Words, page_number, sent, taken
from .models import Album, Artist, Genre, Track

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

PAGE_SIZE = 50
IN_LISTS = ("id", "name", "duration_ms", "price")


def page_of(rows: QuerySet, number: int) -> list[dict[str, Any]]:
    """Fifty of them."""
    return list(rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE])


@require_GET
@cached(ttl="long", shared=True)
def artists(request: HttpRequest) -> JsonResponse:
    """Artists by name, fifty at a time."""
    rows = Artist.objects.order_by("name").values("id", "name")
    return JsonResponse(page_of(rows, page_number(request)), safe=False)


@require_GET
@cached(ttl="long", shared=True)
def artist(_: HttpRequest, artist_id: int) -> JsonResponse:
    """An artist with the albums in stock."""
    found = get_object_or_404(Artist, pk=artist_id)
    albums = found.albums.order_by("title").values("id", "title")
    return JsonResponse({"id": found.pk, "name": found.name, "albums": list(albums)})


@require_GET
@cached(ttl="medium", tags=["prices"], shared=True)
def album(_: HttpRequest, album_id: int) -> JsonResponse:
    """An album with its tracks and their prices."""
    found = get_object_or_404(Album.objects.select_related("artist"), pk=album_id)
    page = {
        "id": found.pk,
        "title": found.title,
        "artist": {"id": found.artist.pk, "name": found.artist.name},
        "tracks": list(found.tracks.order_by("id").values(*IN_LISTS)),
    }
    return JsonResponse(page)


@require_GET
@cached(ttl="medium", tags=["prices"], shared=True)
def track(_: HttpRequest, track_id: int) -> JsonResponse:
    """A track with its album and genre."""
    found = get_object_or_404(Track.objects.select_related("album", "genre"), pk=track_id)
    page = {name: getattr(found, name) for name in (*IN_LISTS, "composer")}
    page["album"] = {"id": found.album.pk, "title": found.album.title}
    page["genre"] = {"id": found.genre.pk, "name": found.genre.name}
    return JsonResponse(page)


@require_http_methods(["PUT"])
def set_price(request: HttpRequest, track_id: int) -> HttpResponse:
    """Change a price. It shows on many pages, so they are purged by their tag."""
    if not from_staff(request):
        return sign_in_first()
    found = get_object_or_404(Track, pk=track_id)
    found.price = taken(Price(sent(request)))["price"]
    found.save(update_fields=["price"])
    get_suite().purge("prices")
    return HttpResponse(status=204)


@require_GET
@cached(ttl="long", shared=True)
def genres(_: HttpRequest) -> JsonResponse:
    """All genres."""
    return JsonResponse(list(Genre.objects.order_by("name").values("id", "name")), safe=False)


@require_GET
@cached(ttl="medium", tags=["prices"], shared=True)
def genre(request: HttpRequest, genre_id: int) -> JsonResponse:
    """A genre's tracks, fifty at a time."""
    found = get_object_or_404(Genre, pk=genre_id)
    number = page_number(request)
    tracks = page_of(found.tracks.order_by("name", "id").values(*IN_LISTS), number)
    return JsonResponse({"id": found.pk, "name": found.name, "page": number, "tracks": tracks})


@require_GET
@cached(ttl="short", tags=["prices"], shared=True)
def search(request: HttpRequest) -> JsonResponse:
    """Whatever has the words in its name, at most twenty of each."""
    words = taken(Words(request.GET))["q"]
    artists = Artist.objects.filter(name__icontains=words).values("id", "name")
    albums = Album.objects.filter(title__icontains=words).values("id", "title")
    tracks = Track.objects.filter(name__icontains=words).values(*IN_LISTS)
    found = {"artists": artists[:20], "albums": albums[:20], "tracks": tracks[:20]}
    return JsonResponse({kind: list(rows) for kind, rows in found.items()})

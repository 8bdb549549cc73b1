"""What a project asks of its database, told as JSON; run with the shop's settings."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.urls import path  # noqa: E402

from apsperf_django import get_suite  # noqa: E402
from apsperf_mw.errors import LazyLoad  # noqa: E402
from examples.django_shop.models import Album, Artist, Review, Track  # noqa: E402


def follow() -> None:
    for album in Album.objects.order_by("id")[:10]:
        assert album.artist.name


def followed_back() -> None:
    for artist in Artist.objects.order_by("id")[:10]:
        list(artist.albums.all())


def counted() -> None:
    for artist in Artist.objects.order_by("id")[:10]:
        artist.albums.count()


def existing() -> None:
    for artist in Artist.objects.order_by("id")[:10]:
        artist.albums.exists()


def got() -> None:
    for number in range(1, 11):
        Album.objects.get(pk=number)


def left_out() -> None:
    for album in Album.objects.defer("title").order_by("id")[:10]:
        assert album.title


def raw() -> None:
    with connection.cursor() as cursor:
        for number in range(1, 11):
            cursor.execute("SELECT Name FROM Track WHERE TrackId = %s", [number])
            cursor.fetchall()


def saved() -> None:
    for number in range(10):
        Review(album_id=1, author="a", stars=5, text=str(number)).save()


def one_query() -> None:
    for album in Album.objects.select_related("artist").order_by("id")[:10]:
        assert album.artist.name


def two_queries() -> None:
    for artist in Artist.objects.prefetch_related("albums").order_by("id")[:10]:
        list(artist.albums.all())


ASKED = {
    each.__name__: each
    for each in (
        follow, followed_back, counted, existing, got, left_out, raw, saved, one_query, two_queries
    )
}  # fmt: skip


def refused() -> dict[str, str]:
    """What a scope without lazy loads says of each."""
    said = {}
    with get_suite().database().no_lazy():
        for name, ask in ASKED.items():
            try:
                ask()
            except LazyLoad as error:
                said[name] = str(error)
    return said


def view(_: HttpRequest, name: str) -> HttpResponse:
    ASKED[name]()
    return HttpResponse(name)


async def aview(_: HttpRequest) -> HttpResponse:
    return HttpResponse(str([track.pk async for track in Track.objects.order_by("id")[:3]]))


class Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.facts.append(vars(record)["apsperf"])


def main() -> None:
    told, replies = Told(), {}
    logging.getLogger("apsperf.database").addHandler(told)
    urls = (path("async", aview), path("<name>", view))
    with override_settings(ROOT_URLCONF=urls):
        for name in [*ASKED, "async"]:
            reply = Client().get(f"/{name}")
            replies[name] = reply.headers["Server-Timing"]
    suite = get_suite()
    suite.flush()
    stats = suite.database().stats().as_dict()
    wrappers = len(connection.execute_wrappers)
    answer = {"facts": told.facts, "stats": stats, "replies": replies, "n": wrappers}
    sys.stdout.write(json.dumps({**answer, "no": refused()}))


if __name__ == "__main__":
    main()

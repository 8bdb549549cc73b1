"""What becomes of a project's pages when its tables are written, told as JSON."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.urls import path  # noqa: E402

from apsperf_mw import cached  # noqa: E402
from examples.django_shop.models import Artist, Review  # noqa: E402


@cached("long", depends="auto")
def artists(_: HttpRequest) -> HttpResponse:
    """By one statement, in autocommit."""
    return HttpResponse(Artist.objects.get(pk=1).name)


@cached("long", depends="auto")
def reviews(_: HttpRequest) -> HttpResponse:
    """Of another table, in a transaction."""
    with transaction.atomic():
        return HttpResponse(str(Review.objects.count()))


@cached("long", depends="auto")
async def areviews(_: HttpRequest) -> HttpResponse:
    """The same, awaited."""
    return HttpResponse(str(await Review.objects.acount()))


def save() -> None:
    artist = Artist.objects.get(pk=1)
    artist.name = "saved"
    artist.save()


def update() -> None:
    Artist.objects.filter(pk=1).update(name="updated")


def raw() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE Artist SET Name = %s WHERE ArtistId = 1", ["raw"])


def in_a_block() -> None:
    with transaction.atomic():
        Artist.objects.filter(pk=1).update(name="in a block")
        with suppress(RuntimeError), transaction.atomic():
            Artist.objects.filter(pk=1).update(name="in a savepoint")
            raise RuntimeError


def rolled_back() -> None:
    with suppress(RuntimeError), transaction.atomic():
        Artist.objects.filter(pk=1).update(name="never")
        raise RuntimeError


def many() -> None:
    Review.objects.bulk_create(
        Review(album_id=1, author="a", stars=5, text=str(number)) for number in range(3)
    )


def nothing() -> None:
    pass


WRITES = (nothing, save, update, raw, in_a_block, rolled_back, many)


def ask(name: str) -> tuple[str, str]:
    reply = Client().get(f"/{name}")
    return reply.headers["Cache-Status"].split(";")[1].strip(), reply.content.decode()


def main() -> None:
    told: dict[str, Any] = {}
    urls = (path("artists", artists), path("reviews", reviews), path("areviews", areviews))
    names = ("artists", "reviews", "areviews")
    with override_settings(ROOT_URLCONF=urls):
        for name in names:
            ask(name)
        for write in WRITES:
            write()
            told[write.__name__] = {name: ask(name) for name in names}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

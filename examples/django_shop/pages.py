"""The front page in HTML, the charts, and the feed of new arrivals."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db.models import F, Sum
from django.db.models.functions import Round
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apsperf_django import cached

from .models import Genre, Track

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

FEED_LENGTH = 500
CHUNK = 100


def best_sellers() -> QuerySet:
    """The tracks that sold most, by number and then by turnover."""
    sold = Track.objects.filter(sales__isnull=False).values("id", "name")
    turnover = Round(Sum(F("sales__quantity") * F("sales__price")), precision=2)
    sums = sold.annotate(
        artist=F("album__artist__name"), sold=Sum("sales__quantity"), turnover=turnover
    )
    return sums.order_by("-sold", "-turnover", "id")


@require_GET
def front(request: HttpRequest) -> HttpResponse:
    """The ten best sellers, and the way to the rest; the template keeps its parts itself."""
    rows = {"best_sellers": best_sellers()[:10], "genres": Genre.objects.order_by("name")}
    return render(request, "front.html", rows)


@require_GET
@cached(ttl="short", tags=["sales"], shared=True)
def charts(_: HttpRequest) -> JsonResponse:
    """The hundred best sellers."""
    return JsonResponse(list(best_sellers()[:100]), safe=False)


@require_GET
@cached(ttl="short", tags=["prices"], shared=True)
def feed(request: HttpRequest) -> StreamingHttpResponse:
    """What came in last, one JSON document a line, sent while it is read."""
    lines = _lines_async() if hasattr(request, "scope") else _lines()
    return StreamingHttpResponse(lines, content_type="application/x-ndjson")


def _newest() -> QuerySet:
    rows = Track.objects.order_by("-id").values("id", "name", "price")
    return rows.annotate(artist=F("album__artist__name"))[:FEED_LENGTH]


def _lines() -> Iterator[str]:
    for row in _newest().iterator(chunk_size=CHUNK):
        yield _line(row)


async def _lines_async() -> AsyncIterator[str]:
    async for row in _newest().aiterator(chunk_size=CHUNK):
        yield _line(row)


def _line(row: dict[str, Any]) -> str:
    return json.dumps({name: row[name] for name in ("id", "name", "artist", "price")}) + "\n"

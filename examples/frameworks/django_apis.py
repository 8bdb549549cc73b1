"""Two APIs of a record shop in one Django project: Django Ninja and the REST framework.

Marks are put on their functions and methods; guards (`auth=`, permissions, throttles) are read.

python -m examples.frameworks.django_apis runserver
"""

# ruff: noqa: ARG001, ARG002
# Neither framework's names are known to type checkers.
# mypy: disable-error-code="misc, untyped-decorator"
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any, ClassVar

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import Http404
from django.urls import path

from examples.records.database import CHINOOK

settings.configure(
    SECRET_KEY="only for the example",
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "apsperf_django",
    ],
    MIDDLEWARE=["apsperf_django.middleware.SuiteMiddleware"],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    USE_TZ=True,
)
django.setup()

from ninja import NinjaAPI  # noqa: E402
from ninja.security import APIKeyHeader  # noqa: E402
from rest_framework.permissions import AllowAny, IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from apsperf_django import cached  # noqa: E402


def album(album_id: int) -> dict[str, Any]:
    """An album, or a 404."""
    query = "SELECT AlbumId AS id, Title AS title FROM Album WHERE AlbumId = ?"
    with closing(sqlite3.connect(f"{CHINOOK.as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        found = database.execute(query, (album_id,)).fetchone()
    if found is None:
        raise Http404
    return dict(found)


class Key(APIKeyHeader):
    """Whoever has the shop's key."""

    param_name = "X-Key"

    def authenticate(self, request: Any, key: str | None) -> str | None:
        """Who asks, or nobody."""
        return key if key == settings.SECRET_KEY else None


api = NinjaAPI(docs_url=None)


@api.get("/albums/{album_id}")
@cached(ttl="medium", tags=["albums"])
def of_ninja(request: Any, album_id: int) -> Any:
    """An album, for all."""
    return album(album_id)


@api.get("/stock/{album_id}", auth=Key())
@cached(ttl="medium")
def stock(request: Any, album_id: int) -> Any:
    """For those with the key alone: Ninja's guard keeps it out of the cache."""
    return album(album_id) | {"stock": 3}


class Album(APIView):
    """An album, for all."""

    permission_classes: ClassVar = [AllowAny]
    authentication_classes: ClassVar[list[type]] = []

    @cached(ttl="medium", tags=["albums"])
    def get(self, _: Any, album_id: int) -> Response:
        """Its page."""
        return Response(album(album_id))


class Stock(Album):
    """For those who are signed in: the permission keeps it out of the cache."""

    permission_classes: ClassVar = [IsAuthenticated]


urlpatterns = [
    path("ninja/", api.urls),
    path("rest/albums/<int:album_id>", Album.as_view()),
    path("rest/stock/<int:album_id>", Stock.as_view()),
]

if __name__ == "__main__":
    execute_from_command_line()

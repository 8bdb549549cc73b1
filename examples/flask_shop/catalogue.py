"""What the shop sells: artists, albums, tracks, genres, and the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, request

from examples.records import reading
from examples.records.schemas import PriceIn

from .parts import answer, found, only_staff, page_number, perf, session, taken

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("catalogue", __name__)

SHORTEST, LONGEST = 2, 50


@blueprint.get("/artists")
@perf.cached(ttl="long", shared=True)
def artists() -> Response:
    """Artists by name, fifty at a time."""
    return answer(reading.artists(session(), page_number()))


@blueprint.get("/artists/<int:artist_id>")
@perf.cached(ttl="long", shared=True)
def artist(artist_id: int) -> Response:
    """An artist with the albums in stock."""
    return answer(found(reading.artist(session(), artist_id)))


@blueprint.get("/albums/<int:album_id>")
@perf.cached(ttl="medium", tags=["prices"], shared=True)
def album(album_id: int) -> Response:
    """An album with its tracks and their prices."""
    return answer(found(reading.album(session(), album_id)))


@blueprint.get("/tracks/<int:track_id>")
@perf.cached(ttl="medium", tags=["prices"], shared=True)
def track(track_id: int) -> Response:
    """A track with its album and genre."""
    return answer(found(reading.track(session(), track_id)))


@blueprint.put("/tracks/<int:track_id>/price")
def set_price(track_id: int) -> tuple[str, int]:
    """Change a price. It shows on many pages, so they are purged by their tag."""
    only_staff()
    found(reading.set_price(session(), track_id, taken(PriceIn).price) or None)
    perf.suite.purge("prices")
    return "", 204


@blueprint.get("/genres")
@perf.cached(ttl="long", shared=True)
def genres() -> Response:
    """All genres."""
    return answer(reading.genres(session()))


@blueprint.get("/genres/<int:genre_id>")
@perf.cached(ttl="medium", tags=["prices"], shared=True)
def genre(genre_id: int) -> Response:
    """A genre's tracks, fifty at a time."""
    return answer(found(reading.genre(session(), genre_id, page_number())))


@blueprint.get("/search")
@perf.cached(ttl="short", tags=["prices"], shared=True)
def search() -> Response:
    """Whatever has the words in its name."""
    words = request.args.get("q", "")
    if not SHORTEST <= len(words) <= LONGEST:
        abort(422, f"q: {len(words)} characters given; accepted: {SHORTEST} to {LONGEST}")
    return answer(reading.search(session(), words))

"""What the shop sells: artists, albums, tracks, genres, and the search."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from apsperf_fastapi import cached
from examples.records import reading
from examples.records.schemas import (
    AlbumPageOut,
    ArtistOut,
    GenrePageOut,
    NamedOut,
    PriceIn,
    SearchOut,
    TrackPageOut,
)

from .account import staff
from .session import SessionIn

router = APIRouter()

Page = Annotated[int, Query(ge=1, le=1000)]
Row = TypeVar("Row")


def found(row: Row | None) -> Row:
    """The row, or a 404."""
    if row is None:
        raise HTTPException(404, "There is no such page in this shop.")
    return row


@router.get("/artists")
@cached(ttl="long", shared=True)
def artists(session: SessionIn, page: Page = 1) -> list[NamedOut]:
    """Artists by name, fifty at a time."""
    return reading.artists(session, page)


@router.get("/artists/{artist_id}")
@cached(ttl="long", shared=True)
def artist(artist_id: int, session: SessionIn) -> ArtistOut:
    """An artist with the albums in stock."""
    return found(reading.artist(session, artist_id))


@router.get("/albums/{album_id}")
@cached(ttl="medium", tags=["prices"], shared=True)
def album(album_id: int, session: SessionIn) -> AlbumPageOut:
    """An album with its tracks and their prices."""
    return found(reading.album(session, album_id))


@router.get("/tracks/{track_id}")
@cached(ttl="medium", tags=["prices"], shared=True)
def track(track_id: int, session: SessionIn) -> TrackPageOut:
    """A track with its album and genre."""
    return found(reading.track(session, track_id))


@router.put("/tracks/{track_id}/price", status_code=204, dependencies=[Depends(staff)])
def set_price(track_id: int, new: PriceIn, session: SessionIn, request: Request) -> None:
    """Change a price. It shows on many pages, so they are purged by their tag."""
    found(reading.set_price(session, track_id, new.price) or None)
    request.app.state.purge("prices")


@router.get("/genres")
@cached(ttl="long", shared=True)
def genres(session: SessionIn) -> list[NamedOut]:
    """All genres."""
    return reading.genres(session)


@router.get("/genres/{genre_id}")
@cached(ttl="medium", tags=["prices"], shared=True)
def genre(genre_id: int, session: SessionIn, page: Page = 1) -> GenrePageOut:
    """A genre's tracks, fifty at a time."""
    return found(reading.genre(session, genre_id, page))


@router.get("/search")
@cached(ttl="short", tags=["prices"], shared=True)
def search(q: Annotated[str, Query(min_length=2, max_length=50)], session: SessionIn) -> SearchOut:
    """Whatever has the words in its name."""
    return reading.search(session, q)

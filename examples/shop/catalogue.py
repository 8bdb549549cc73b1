"""What the shop sells: artists, albums, tracks, genres, and the search."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from apsperf_fastapi import cached

from .account import staff
from .database import SessionIn
from .models import Album, Artist, Genre, Track
from .schemas import (
    AlbumOut,
    AlbumPageOut,
    ArtistOut,
    GenrePageOut,
    NamedOut,
    PriceIn,
    SearchOut,
    TrackOut,
    TrackPageOut,
)

router = APIRouter()

PAGE_SIZE = 50
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
    query = select(Artist).order_by(Artist.name).limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)
    return [NamedOut.model_validate(artist) for artist in session.scalars(query)]


@router.get("/artists/{artist_id}")
@cached(ttl="long", shared=True)
def artist(artist_id: int, session: SessionIn) -> ArtistOut:
    """An artist with the albums in stock."""
    row = session.get(Artist, artist_id, options=[selectinload(Artist.albums)])
    return ArtistOut.model_validate(found(row))


@router.get("/albums/{album_id}")
@cached(ttl="medium", tags=["prices"], shared=True)
def album(album_id: int, session: SessionIn) -> AlbumPageOut:
    """An album with its tracks and their prices."""
    options = [joinedload(Album.artist), selectinload(Album.tracks)]
    return AlbumPageOut.model_validate(found(session.get(Album, album_id, options=options)))


@router.get("/tracks/{track_id}")
@cached(ttl="medium", tags=["prices"], shared=True)
def track(track_id: int, session: SessionIn) -> TrackPageOut:
    """A track with its album and genre."""
    options = [joinedload(Track.album), joinedload(Track.genre)]
    return TrackPageOut.model_validate(found(session.get(Track, track_id, options=options)))


@router.put("/tracks/{track_id}/price", status_code=204, dependencies=[Depends(staff)])
def set_price(track_id: int, new: PriceIn, session: SessionIn, request: Request) -> None:
    """Change a price. It shows on many pages, so they are purged by their tag."""
    found(session.get(Track, track_id)).price = new.price
    session.commit()
    request.app.state.purge("prices")


@router.get("/genres")
@cached(ttl="long", shared=True)
def genres(session: SessionIn) -> list[NamedOut]:
    """All genres."""
    rows = session.scalars(select(Genre).order_by(Genre.name))
    return [NamedOut.model_validate(genre) for genre in rows]


@router.get("/genres/{genre_id}")
@cached(ttl="medium", tags=["prices"], shared=True)
def genre(genre_id: int, session: SessionIn, page: Page = 1) -> GenrePageOut:
    """A genre's tracks, fifty at a time."""
    row = found(session.get(Genre, genre_id))
    of_genre = select(Track).where(Track.genre_id == genre_id).order_by(Track.name, Track.id)
    tracks = session.scalars(of_genre.limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE))
    return GenrePageOut(
        id=row.id,
        name=row.name,
        page=page,
        tracks=[TrackOut.model_validate(track) for track in tracks],
    )


@router.get("/search")
@cached(ttl="short", tags=["prices"], shared=True)
def search(q: Annotated[str, Query(min_length=2, max_length=50)], session: SessionIn) -> SearchOut:
    """Whatever has the words in its name."""
    artists = select(Artist).where(Artist.name.icontains(q, autoescape=True))
    albums = select(Album).where(Album.title.icontains(q, autoescape=True))
    tracks = select(Track).where(Track.name.icontains(q, autoescape=True))
    return SearchOut(
        artists=[NamedOut.model_validate(row) for row in session.scalars(artists.limit(20))],
        albums=[AlbumOut.model_validate(row) for row in session.scalars(albums.limit(20))],
        tracks=[TrackOut.model_validate(row) for row in session.scalars(tracks.limit(20))],
    )

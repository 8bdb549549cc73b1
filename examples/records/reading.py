"""What the shop's pages show, read with SQLAlchemy; None for what is not there."""

import json
from collections.abc import Iterator

from sqlalchemy import RowMapping, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from .database import Database
from .models import Album, Artist, Genre, InvoiceLine, Review, Track
from .schemas import (
    AlbumOut,
    AlbumPageOut,
    ArtistOut,
    BestSellerOut,
    GenrePageOut,
    NamedOut,
    ReviewOut,
    SearchOut,
    TrackOut,
    TrackPageOut,
)

PAGE_SIZE = 50
FEED_LENGTH = 500
CHUNK = 100


def artists(session: Session, page: int) -> list[NamedOut]:
    """Artists by name, fifty at a time."""
    query = select(Artist).order_by(Artist.name).limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)
    return [NamedOut.model_validate(artist) for artist in session.scalars(query)]


def artist(session: Session, artist_id: int) -> ArtistOut | None:
    """An artist with the albums in stock."""
    row = session.get(Artist, artist_id, options=[selectinload(Artist.albums)])
    return None if row is None else ArtistOut.model_validate(row)


def album(session: Session, album_id: int) -> AlbumPageOut | None:
    """An album with its tracks and their prices."""
    options = [joinedload(Album.artist), selectinload(Album.tracks)]
    row = session.get(Album, album_id, options=options)
    return None if row is None else AlbumPageOut.model_validate(row)


def track(session: Session, track_id: int) -> TrackPageOut | None:
    """A track with its album and genre."""
    options = [joinedload(Track.album), joinedload(Track.genre)]
    row = session.get(Track, track_id, options=options)
    return None if row is None else TrackPageOut.model_validate(row)


def set_price(session: Session, track_id: int, price: float) -> bool:
    """Change a price; whether there is such a track."""
    row = session.get(Track, track_id)
    if row is not None:
        row.price = price
        session.commit()
    return row is not None


def genres(session: Session) -> list[NamedOut]:
    """All genres by name."""
    rows = session.scalars(select(Genre).order_by(Genre.name))
    return [NamedOut.model_validate(genre) for genre in rows]


def genre(session: Session, genre_id: int, page: int) -> GenrePageOut | None:
    """A genre's tracks, fifty at a time."""
    row = session.get(Genre, genre_id)
    if row is None:
        return None
    of_genre = select(Track).where(Track.genre_id == genre_id).order_by(Track.name, Track.id)
    tracks = session.scalars(of_genre.limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE))
    return GenrePageOut(
        id=row.id,
        name=row.name,
        page=page,
        tracks=[TrackOut.model_validate(track) for track in tracks],
    )


def search(session: Session, words: str) -> SearchOut:
    """Whatever has the words in its name."""
    artists = select(Artist).where(Artist.name.icontains(words, autoescape=True))
    albums = select(Album).where(Album.title.icontains(words, autoescape=True))
    tracks = select(Track).where(Track.name.icontains(words, autoescape=True))
    return SearchOut(
        artists=[NamedOut.model_validate(row) for row in session.scalars(artists.limit(20))],
        albums=[AlbumOut.model_validate(row) for row in session.scalars(albums.limit(20))],
        tracks=[TrackOut.model_validate(row) for row in session.scalars(tracks.limit(20))],
    )


def reviews(session: Session, album_id: int) -> list[ReviewOut] | None:
    """An album's reviews, newest first."""
    if session.get(Album, album_id) is None:
        return None
    rows = session.scalars(
        select(Review).where(Review.album_id == album_id).order_by(Review.id.desc()).limit(50)
    )
    return [ReviewOut.model_validate(review) for review in rows]


def best_sellers(session: Session, limit: int) -> list[BestSellerOut]:
    """The tracks that sold most, by number and then by turnover."""
    sold = func.sum(InvoiceLine.quantity)
    turnover = func.round(func.sum(InvoiceLine.quantity * InvoiceLine.price), 2)
    query = (
        select(
            Track.id,
            Track.name,
            Artist.name.label("artist"),
            sold.label("sold"),
            turnover.label("turnover"),
        )
        .join(Track, InvoiceLine.track_id == Track.id)
        .join(Album, Track.album_id == Album.id)
        .join(Artist, Album.artist_id == Artist.id)
        .group_by(Track.id)
        .order_by(sold.desc(), turnover.desc(), Track.id)
        .limit(limit)
    )
    return [BestSellerOut.model_validate(row) for row in session.execute(query)]


def feed(database: Database) -> Iterator[str]:
    """What came in last, one JSON document a line, read while it is sent."""
    query = (
        select(Track.id, Track.name, Artist.name.label("artist"), Track.price)
        .join(Album, Track.album_id == Album.id)
        .join(Artist, Album.artist_id == Artist.id)
        .order_by(Track.id.desc())
        .limit(FEED_LENGTH)
        .execution_options(yield_per=CHUNK)
    )
    with database.sessions() as session:
        for rows in session.execute(query).mappings().partitions():
            yield "".join(map(_line, rows))


def _line(row: RowMapping) -> str:
    return json.dumps(dict(row), ensure_ascii=False) + "\n"

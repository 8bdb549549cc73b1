"""What the shop sends and takes, as JSON."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Out(BaseModel):
    """Something made from a row."""

    model_config = ConfigDict(from_attributes=True)


class NamedOut(Out):
    """An artist or a genre in a list."""

    id: int
    name: str


class AlbumOut(Out):
    """An album in a list."""

    id: int
    title: str


class ArtistOut(NamedOut):
    """An artist's page."""

    albums: list[AlbumOut]


class TrackOut(NamedOut):
    """A track in a list."""

    duration_ms: int
    price: float


class TrackPageOut(TrackOut):
    """A track's page."""

    composer: str | None
    album: AlbumOut
    genre: NamedOut


class AlbumPageOut(AlbumOut):
    """An album's page."""

    artist: NamedOut
    tracks: list[TrackOut]


class GenrePageOut(NamedOut):
    """A page of a genre's tracks."""

    page: int
    tracks: list[TrackOut]


class SearchOut(BaseModel):
    """What a search found, at most twenty of each."""

    artists: list[NamedOut]
    albums: list[AlbumOut]
    tracks: list[TrackOut]


class BestSellerOut(Out):
    """A line of the charts."""

    id: int
    name: str
    artist: str
    sold: int
    turnover: float


class InvoiceOut(Out):
    """One of the customer's own invoices."""

    id: int
    date: datetime
    total: float


class CustomerOut(Out):
    """The customer's own page."""

    first_name: str
    last_name: str
    email: str
    invoices: list[InvoiceOut]


class ReviewIn(BaseModel):
    """A review to add."""

    stars: int = Field(ge=1, le=5)
    text: str = Field(min_length=1, max_length=2000)


class ReviewOut(Out):
    """A review as shown."""

    id: int
    author: str
    stars: int
    text: str


class PriceIn(BaseModel):
    """A new price."""

    price: float = Field(ge=0, le=1000)

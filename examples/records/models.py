"""The tables of Chinook that the shop uses, and the reviews that it adds.

Columns keep the names that they have in the file; attributes have Python's.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# SQLite has no decimals, and the shop adds nothing up in Python: floats lose nothing here.
Money = Numeric(10, 2, asdecimal=False)


class Base(DeclarativeBase):
    """All tables."""


class Artist(Base):
    """Who made the record."""

    __tablename__ = "Artist"

    id: Mapped[int] = mapped_column("ArtistId", primary_key=True)
    name: Mapped[str] = mapped_column("Name")
    albums: Mapped[list["Album"]] = relationship(back_populates="artist", order_by="Album.title")


class Album(Base):
    """A record."""

    __tablename__ = "Album"

    id: Mapped[int] = mapped_column("AlbumId", primary_key=True)
    title: Mapped[str] = mapped_column("Title")
    artist_id: Mapped[int] = mapped_column("ArtistId", ForeignKey("Artist.ArtistId"))
    artist: Mapped[Artist] = relationship(back_populates="albums")
    tracks: Mapped[list["Track"]] = relationship(back_populates="album", order_by="Track.id")


class Genre(Base):
    """A kind of music."""

    __tablename__ = "Genre"

    id: Mapped[int] = mapped_column("GenreId", primary_key=True)
    name: Mapped[str] = mapped_column("Name")


class Track(Base):
    """What is sold."""

    __tablename__ = "Track"

    id: Mapped[int] = mapped_column("TrackId", primary_key=True)
    name: Mapped[str] = mapped_column("Name")
    album_id: Mapped[int] = mapped_column("AlbumId", ForeignKey("Album.AlbumId"))
    genre_id: Mapped[int] = mapped_column("GenreId", ForeignKey("Genre.GenreId"))
    composer: Mapped[str | None] = mapped_column("Composer")
    duration_ms: Mapped[int] = mapped_column("Milliseconds")
    price: Mapped[float] = mapped_column("UnitPrice", Money)
    album: Mapped[Album] = relationship(back_populates="tracks")
    genre: Mapped[Genre] = relationship()


class Customer(Base):
    """Somebody with an account."""

    __tablename__ = "Customer"

    id: Mapped[int] = mapped_column("CustomerId", primary_key=True)
    first_name: Mapped[str] = mapped_column("FirstName")
    last_name: Mapped[str] = mapped_column("LastName")
    email: Mapped[str] = mapped_column("Email")
    invoices: Mapped[list["Invoice"]] = relationship(order_by="Invoice.date.desc()")


class Invoice(Base):
    """One sale."""

    __tablename__ = "Invoice"

    id: Mapped[int] = mapped_column("InvoiceId", primary_key=True)
    customer_id: Mapped[int] = mapped_column("CustomerId", ForeignKey("Customer.CustomerId"))
    date: Mapped[datetime] = mapped_column("InvoiceDate")
    total: Mapped[float] = mapped_column("Total", Money)


class InvoiceLine(Base):
    """One track of a sale."""

    __tablename__ = "InvoiceLine"

    id: Mapped[int] = mapped_column("InvoiceLineId", primary_key=True)
    invoice_id: Mapped[int] = mapped_column("InvoiceId", ForeignKey("Invoice.InvoiceId"))
    track_id: Mapped[int] = mapped_column("TrackId", ForeignKey("Track.TrackId"))
    price: Mapped[float] = mapped_column("UnitPrice", Money)
    quantity: Mapped[int] = mapped_column("Quantity")


class Review(Base):
    """What a customer says of a record; not in Chinook, made at start-up."""

    __tablename__ = "Review"

    id: Mapped[int] = mapped_column(primary_key=True)
    album_id: Mapped[int] = mapped_column(ForeignKey("Album.AlbumId"), index=True)
    author: Mapped[str]
    stars: Mapped[int]
    text: Mapped[str]

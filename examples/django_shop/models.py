"""The tables of Chinook that the shop uses, and the reviews that it adds."""

# Django's Meta classes say all there is to say.
# ruff: noqa: D106

from django.db import models


class Artist(models.Model):
    """Who made the record."""

    id = models.AutoField(primary_key=True, db_column="ArtistId")
    name = models.CharField(max_length=120, db_column="Name")

    class Meta:
        managed, db_table = False, "Artist"


class Album(models.Model):
    """A record."""

    id = models.AutoField(primary_key=True, db_column="AlbumId")
    title = models.CharField(max_length=160, db_column="Title")
    artist = models.ForeignKey(Artist, models.PROTECT, "albums", db_column="ArtistId")

    class Meta:
        managed, db_table = False, "Album"


class Genre(models.Model):
    """A kind of music."""

    id = models.AutoField(primary_key=True, db_column="GenreId")
    name = models.CharField(max_length=120, db_column="Name")

    class Meta:
        managed, db_table = False, "Genre"


class Track(models.Model):
    """What is sold."""

    id = models.AutoField(primary_key=True, db_column="TrackId")
    name = models.CharField(max_length=200, db_column="Name")
    album = models.ForeignKey(Album, models.PROTECT, "tracks", db_column="AlbumId")
    genre = models.ForeignKey(Genre, models.PROTECT, "tracks", db_column="GenreId")
    composer = models.CharField(max_length=220, null=True, db_column="Composer")
    duration_ms = models.IntegerField(db_column="Milliseconds")
    price = models.FloatField(db_column="UnitPrice")

    class Meta:
        managed, db_table = False, "Track"


class Customer(models.Model):
    """Somebody with an account."""

    id = models.AutoField(primary_key=True, db_column="CustomerId")
    first_name = models.CharField(max_length=40, db_column="FirstName")
    last_name = models.CharField(max_length=20, db_column="LastName")
    email = models.CharField(max_length=60, db_column="Email")

    class Meta:
        managed, db_table = False, "Customer"


class Invoice(models.Model):
    """One sale."""

    id = models.AutoField(primary_key=True, db_column="InvoiceId")
    customer = models.ForeignKey(Customer, models.PROTECT, "invoices", db_column="CustomerId")
    date = models.DateTimeField(db_column="InvoiceDate")
    total = models.FloatField(db_column="Total")

    class Meta:
        managed, db_table = False, "Invoice"


class InvoiceLine(models.Model):
    """One track of a sale."""

    id = models.AutoField(primary_key=True, db_column="InvoiceLineId")
    track = models.ForeignKey(Track, models.PROTECT, "sales", db_column="TrackId")
    price = models.FloatField(db_column="UnitPrice")
    quantity = models.IntegerField(db_column="Quantity")

    class Meta:
        managed, db_table = False, "InvoiceLine"


class Review(models.Model):
    """What a customer says of a record; not in Chinook, made at start-up."""

    album = models.ForeignKey(Album, models.CASCADE, "reviews")
    author = models.TextField()
    stars = models.IntegerField()
    text = models.TextField()

    class Meta:
        managed, db_table = False, "review"

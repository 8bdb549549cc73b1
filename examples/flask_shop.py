"""A small record shop with Flask and plain sqlite3.

Its pages are for everybody whatever the session's cookie says (`shared`), but for the basket.

flask --app examples/flask_shop.py run
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, g, jsonify, redirect, request, session, url_for

from apsperf_flask import APSPerf

CHINOOK = Path(__file__).resolve().parent / "data" / "chinook.sqlite"

app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="only for the example", APSPERF_TIMING={"server_timing": "on"})
app.config.from_prefixed_env()
perf = APSPerf(app)

# A real shop keeps these in its database.
reviews: dict[int, list[str]] = defaultdict(list)


def rows(query: str, *values: object) -> list[dict[str, Any]]:
    """What the query finds, over one connection for each request that asks."""
    if "chinook" not in g:
        g.chinook = sqlite3.connect(f"{CHINOOK.as_uri()}?mode=ro", uri=True)
        g.chinook.row_factory = sqlite3.Row
    return [dict(row) for row in g.chinook.execute(query, values)]


def row(query: str, *values: object) -> dict[str, Any]:
    """The one row that the query finds, or a 404."""
    found = rows(query, *values)
    return found[0] if found else abort(404)


@app.teardown_appcontext
def close(_: BaseException | None) -> None:
    """Close the request's connection, if it asked for one."""
    if "chinook" in g:
        g.chinook.close()


@app.get("/artists")
@perf.cached(ttl="long", shared=True)
def artists() -> Response:
    """All artists."""
    return jsonify(rows("SELECT ArtistId AS id, Name AS name FROM Artist ORDER BY Name"))


@app.get("/artists/<int:artist_id>")
@perf.cached(ttl="long", shared=True)
def artist(artist_id: int) -> Response:
    """An artist with the albums in stock."""
    found = row("SELECT ArtistId AS id, Name AS name FROM Artist WHERE ArtistId = ?", artist_id)
    albums = "SELECT AlbumId AS id, Title AS title FROM Album WHERE ArtistId = ? ORDER BY Title"
    return jsonify(found | {"albums": rows(albums, artist_id)})


@app.get("/albums/<int:album_id>")
@perf.cached(ttl="medium", tags=["albums"], shared=True)
def album(album_id: int) -> Response:
    """An album with its tracks and reviews."""
    found = row("SELECT AlbumId AS id, Title AS title FROM Album WHERE AlbumId = ?", album_id)
    tracks = "SELECT TrackId AS id, Name AS name, UnitPrice AS price FROM Track WHERE AlbumId = ?"
    return jsonify(found | {"tracks": rows(tracks, album_id), "reviews": reviews[album_id]})


@app.post("/albums/<int:album_id>/reviews")
def add_review(album_id: int) -> Any:
    """Add a review. It shows on the album's page, so that is purged by its tag."""
    row("SELECT 1 FROM Album WHERE AlbumId = ?", album_id)
    reviews[album_id].append(request.form["text"][:2000])
    perf.suite.purge("albums")
    return redirect(url_for("album", album_id=album_id), 303)


@app.get("/search")
@perf.cached(ttl="short", shared=True)
def search() -> Response:
    """Tracks that have the word in their name."""
    found = "SELECT TrackId AS id, Name AS name FROM Track WHERE instr(lower(Name), ?) LIMIT 20"
    return jsonify(rows(found, request.args.get("q", "").lower()))


@app.get("/export")
@perf.cached(ttl="short", shared=True)
def export() -> Response:
    """All albums as text, sent while they are read."""
    albums = rows("SELECT AlbumId AS id, Title AS title FROM Album ORDER BY AlbumId")
    return Response((f"{one['id']}\t{one['title']}\n" for one in albums), mimetype="text/plain")


@app.get("/basket")
def basket() -> Response:
    """The visitor's own basket. It reads the session, so it is never kept."""
    return jsonify(session.get("basket", []))


@app.post("/basket")
def add_to_basket() -> tuple[Response, int]:
    """Put a track into the basket."""
    session["basket"] = [*session.get("basket", []), int(request.form["track"])]
    return jsonify(session["basket"]), 201

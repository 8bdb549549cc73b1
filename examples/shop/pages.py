"""The front page, in HTML."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from apsperf_fastapi import cached

from .charts import best_sellers
from .database import SessionIn
from .models import Genre
from .schemas import BestSellerOut

router = APIRouter()

FRONT_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Chinook Records</title>
<h1>Chinook Records</h1>
<form action="/search"><input name="q" minlength="2" required> <button>Search</button></form>
<h2>Best sellers</h2>
<ol>
{best_sellers}
</ol>
<h2>Genres</h2>
<ul>
{genres}
</ul>
<p><a href="/artists">Artists</a> <a href="/charts">Charts</a> <a href="/docs">API</a></p>
</html>
"""


@router.get("/", response_class=HTMLResponse)
@cached(ttl="short", tags=["sales"], shared=True)
def front(session: SessionIn) -> str:
    """The ten best sellers, and the way to the rest."""
    genres = session.scalars(select(Genre).order_by(Genre.name))
    return FRONT_PAGE.format(
        best_sellers="\n".join(map(_best_seller, best_sellers(session, 10))),
        genres="\n".join(_link("genres", genre.id, genre.name) for genre in genres),
    )


def _best_seller(track: BestSellerOut) -> str:
    return _link("tracks", track.id, f"{track.name} ({track.artist})")


def _link(kind: str, number: int, text: str) -> str:
    return f'<li><a href="/{kind}/{number}">{escape(text)}</a></li>'

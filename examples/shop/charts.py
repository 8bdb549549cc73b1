"""What sells best, and the feed of new arrivals."""

import json
from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import RowMapping, func, select
from sqlalchemy.orm import Session

from apsperf_fastapi import cached

from .database import Database, SessionIn
from .models import Album, Artist, InvoiceLine, Track
from .schemas import BestSellerOut

router = APIRouter()

FEED_LENGTH = 500
CHUNK = 100


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


@router.get("/charts")
@cached(ttl="short", tags=["sales"], shared=True)
def charts(session: SessionIn) -> list[BestSellerOut]:
    """The hundred best sellers."""
    return best_sellers(session, 100)


@router.get("/feed")
@cached(ttl="short", tags=["prices"], shared=True)
def feed(request: Request) -> StreamingResponse:
    """What came in last, one JSON document a line, sent while it is read."""
    return StreamingResponse(_lines(request.app.state.database), media_type="application/x-ndjson")


def _lines(database: Database) -> Iterator[str]:
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

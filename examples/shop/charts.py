"""What sells best, and the feed of new arrivals."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from apsperf_fastapi import cached
from examples.records import reading
from examples.records.schemas import BestSellerOut

from .session import SessionIn

router = APIRouter()


@router.get("/charts")
@cached(ttl="short", tags=["sales"], shared=True)
def charts(session: SessionIn) -> list[BestSellerOut]:
    """The hundred best sellers."""
    return reading.best_sellers(session, 100)


@router.get("/feed")
@cached(ttl="short", tags=["prices"], shared=True)
def feed(request: Request) -> StreamingResponse:
    """What came in last, one JSON document a line, sent while it is read."""
    lines = reading.feed(request.app.state.database)
    return StreamingResponse(lines, media_type="application/x-ndjson")

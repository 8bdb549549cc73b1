"""The front page in HTML, the charts, and the feed of new arrivals."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from examples.records import reading

from .parts import answer, database, perf, session

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def front() -> str:
    """The ten best sellers, and the way to the rest; the template keeps its parts itself."""

    def best_sellers() -> object:
        return reading.best_sellers(session(), 10)

    def genres() -> object:
        return reading.genres(session())

    return render_template("front.html", best_sellers=best_sellers, genres=genres)


@blueprint.get("/charts")
@perf.cached(ttl="short", tags=["sales"], shared=True)
def charts() -> Response:
    """The hundred best sellers."""
    return answer(reading.best_sellers(session(), 100))


@blueprint.get("/feed")
@perf.cached(ttl="short", tags=["prices"], shared=True)
def feed() -> Response:
    """What came in last, one JSON document a line, sent while it is read."""
    return Response(reading.feed(database()), mimetype="application/x-ndjson")

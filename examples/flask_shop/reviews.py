"""What customers say of the albums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from examples.records import reading
from examples.records.models import Album, Review
from examples.records.schemas import ReviewIn, ReviewOut

from .account import customer
from .parts import answer, found, perf, session, taken

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("reviews", __name__, url_prefix="/albums/<int:album_id>/reviews")


@blueprint.get("")
@perf.cached(ttl="medium", shared=True)
def reviews(album_id: int) -> Response:
    """An album's reviews, newest first."""
    return answer(found(reading.reviews(session(), album_id)))


@blueprint.post("")
def add_review(album_id: int) -> tuple[Response, int]:
    """Add a review. A POST that succeeds voids what is stored for its own URL: the list above."""
    author = customer()
    found(session().get(Album, album_id))
    new = taken(ReviewIn)
    review = Review(album_id=album_id, author=author.first_name, **new.model_dump())
    session().add(review)
    session().commit()
    return answer(ReviewOut.model_validate(review)), 201

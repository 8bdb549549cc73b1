"""What customers say of the albums."""

from fastapi import APIRouter

from apsperf_fastapi import cached
from examples.records import reading
from examples.records.models import Album, Review
from examples.records.schemas import ReviewIn, ReviewOut

from .account import CustomerIn
from .catalogue import found
from .session import SessionIn

router = APIRouter(prefix="/albums/{album_id}/reviews")


@router.get("")
@cached(ttl="medium", shared=True)
def reviews(album_id: int, session: SessionIn) -> list[ReviewOut]:
    """An album's reviews, newest first."""
    return found(reading.reviews(session, album_id))


@router.post("", status_code=201)
def add_review(album_id: int, new: ReviewIn, author: CustomerIn, session: SessionIn) -> ReviewOut:
    """Add a review. A POST that succeeds voids what is stored for its own URL: the list above."""
    found(session.get(Album, album_id))
    review = Review(album_id=album_id, author=author.first_name, **new.model_dump())
    session.add(review)
    session.commit()
    return ReviewOut.model_validate(review)

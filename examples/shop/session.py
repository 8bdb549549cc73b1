"""A database session for each request."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from examples.records.database import Database


async def session(request: Request) -> AsyncIterator[Session]:
    """One request's session. Making and closing one is too short for a thread of its own."""
    database: Database = request.app.state.database
    with database.sessions() as opened:
        yield opened


SessionIn = Annotated[Session, Depends(session)]

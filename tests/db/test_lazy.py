"""Scopes in which nothing is loaded lazily."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, selectinload

from apsperf_mw import Suite
from apsperf_mw.db import sqlalchemy as seam
from apsperf_mw.errors import LazyLoad
from tests.db.models import Album, Artist, Base, shop
from tests.db.test_sqlalchemy import deferred, expired, follow, follow_back


@pytest.fixture(params=[True, False], ids=["the seam", "events"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(seam, "holds", lambda: request.param)
    made = shop()
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("ask", "cure"),
    [
        (follow, r"selectinload\(Album.artist\)"),
        (follow_back, r"selectinload\(Artist.albums\)"),
        (deferred, r"undefer\(Artist.bio\)"),
        (expired, "expire_on_commit=False"),
    ],
)
def test_a_lazy_load_is_refused_with_its_cure(
    ask: Callable[[Session], None], cure: str, engine: Engine
) -> None:
    db = Suite().database()
    db.attach(engine)
    with Session(engine) as session:
        where = rf"test_sqlalchemy\.py:\d+ in {ask.__name__}\b"
        with (
            db.no_lazy(),
            pytest.raises(LazyLoad, match=rf"a lazy load at .*{where}.*; try {cure}"),
        ):
            ask(session)
    with Session(engine) as session:
        ask(session)


def test_what_is_asked_for_is_not_refused(engine: Engine) -> None:
    db = Suite().database()
    db.attach(engine)
    with db.no_lazy(), Session(engine) as session:
        for artist in session.scalars(select(Artist).options(selectinload(Artist.albums))):
            assert artist.albums
        assert session.get(Album, 5)
        session.execute(text("SELECT 1")).close()
        session.get_one(Artist, 3).name = "new"
        session.commit()


def test_the_session_goes_on_after_a_refusal(engine: Engine) -> None:
    db = Suite().database()
    db.attach(engine)
    with Session(engine) as session:
        album = session.get_one(Album, 1)
        with db.no_lazy(), pytest.raises(LazyLoad):
            assert album.artist.name
        assert album.artist.name == "artist 1"


def test_an_async_session() -> None:
    db = Suite().database()

    async def ask() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        db.attach(engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add(Album(id=1, title="a", artist=Artist(id=1, name="b")))
            await session.commit()
        async with AsyncSession(engine) as session:
            album = await session.get_one(Album, 1)
            with db.no_lazy(), pytest.raises(LazyLoad, match="Album.artist"):
                await session.run_sync(lambda _: album.artist)
        await engine.dispose()

    asyncio.run(ask())

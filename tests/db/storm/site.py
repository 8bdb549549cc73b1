"""A site of pages that are made of the tables of a storm, for a real server."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from fastapi import FastAPI
from msgspec import json
from sqlalchemy import text

from apsperf_fastapi import install
from apsperf_mw import cached
from tests.db.storm.alchemy import Alchemy
from tests.db.storm.board import BULK, CHILD, WIDE, Board
from tests.db.storm.worker import Task

task = json.decode(os.environ["STORM"], type=Task)
side = Alchemy(
    task.url, task.settings, task.threads, Board(Path(task.board), task.most, task.bound_s)
)
if task.deaf:
    tables: Any = side.suite.tables
    tables._purge = lambda *_: None
app = FastAPI()
ONE = {
    "child": (CHILD, text("SELECT max(parent_id) FROM child")),
    "bulk": (BULK, text("SELECT max(v) FROM bulk")),
    "wide": (WIDE, text("SELECT v FROM wide")),
}
Versions = dict[int, int]


@app.get("/key/{k}")
@cached("long", depends="auto")
def key(k: int) -> Versions:
    """By one statement."""
    with side.engine.connect() as connection:
        found = connection.execute(text("SELECT v FROM kv WHERE k = :k"), {"k": k}).scalar()
    return {} if found is None else {k: found}


@app.get("/seen/{k}")
@cached("long", depends="auto")
def seen(k: int) -> Versions:
    """Of a view, whose rows are kept as well."""
    with side.engine.connect() as connection:
        query = text("SELECT v FROM seen WHERE k = :k").execution_options(**side.ask)
        found = connection.execute(query, {"k": k}).scalar()
    return {} if found is None else {k: found}


@app.get("/snapshot/{k}")
@cached("long", depends="auto")
def snapshot(k: int) -> Versions:
    """In a transaction that goes on seeing what was there when it began."""
    with side.engine.connect() as opened:
        connection = opened
        if side.is_sqlite:
            opened.exec_driver_sql("BEGIN")
        else:
            connection = opened.execution_options(isolation_level="REPEATABLE READ")
        connection.execute(text("SELECT 1 FROM label WHERE k = 0"))
        found = connection.execute(text("SELECT v FROM kv WHERE k = :k"), {"k": k}).scalar()
        connection.rollback()
    return {} if found is None else {k: found}


@app.get("/all")
@cached("long", depends="auto")
def every() -> Versions:
    """Several tables' rows on one page."""
    with side.engine.connect() as connection:
        shown = {subject: connection.execute(query).scalar_one() for subject, query in ONE.values()}
        rows = connection.execute(text("SELECT k, v FROM kv"))
        return {**shown, **{row.k: row.v for row in rows}}


@app.get("/one/{name}")
@cached("long", depends="auto")
def one(name: str) -> Versions:
    """A table that is written through another, or as a whole."""
    subject, query = ONE[name]
    with side.engine.connect() as connection:
        return {subject: connection.execute(query).scalar_one()}


@app.post("/write/{seed}/{rarely}")
def write(seed: int, rarely: int) -> tuple[int, int] | None:
    """What was committed, if anything was."""
    return side.commit(Random(seed), rarely=bool(rarely))


install(app, side.suite)

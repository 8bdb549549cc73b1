"""Rows of Django's queries, kept until a table that they were read of is written.

`Artist.objects.cached("long")`, or any query with `database.cache_all`. They are taken where the
compiler would send its statement, so that each reader makes objects of its own.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Manager, QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE

from apsperf_django.following import following_of
from apsperf_mw.db.facts import Facts
from apsperf_mw.db.results import OPTION
from apsperf_mw.db.rows import found_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_django.following import Following
    from apsperf_mw.db.results import Asked, Entry

GOT = "apsperf_got"
_execute_sql = SQLCompiler.execute_sql
_get_queryset = Manager.get_queryset


class Got:
    """What is found out about a query whose object somebody else keeps, while it is sent.

    What it depends on, and since when; no facts where nothing of it may be kept. `alone` is whether
    its rows are not kept beside the object.
    """

    facts: Facts | None = None
    began = 0
    took_s = 0.0
    text = ""
    # The compiler that has sent it, the text, and its parameters.
    sent: tuple[Any, str, Any] | None = None

    def __init__(self, alone: bool) -> None:
        self.alone = alone


def teach() -> None:
    """Give query sets and managers `cached` and `uncached`, and have their rows kept."""
    from apsperf_django.gets import get

    if SQLCompiler.execute_sql is execute_sql:
        return
    setattr(SQLCompiler, "execute_sql", execute_sql)  # noqa: B010 - types would not have it
    for name, own, mark in (("cached", cached, marked), ("uncached", uncached, unmarked)):
        setattr(QuerySet, name, own)
        setattr(Manager, name, _of_manager(name, own, mark))
    setattr(QuerySet, "get", get)  # noqa: B010
    get.alters_data = False  # type: ignore[attr-defined]


def cached(rows: Any, ttl: str | float | bool = True) -> Any:
    """The same rows, kept for a class (short, medium, long), seconds, or as the settings say."""
    return marked(rows._chain(), ttl)


def uncached(rows: Any) -> Any:
    """The same rows, from the database each time."""
    return cached(rows, ttl=False)


def marked(rows: Any, ttl: str | float | bool = True) -> Any:
    """As `cached`, of rows that nobody else has."""
    vars(rows.query)[OPTION] = ttl
    return rows


def unmarked(rows: Any) -> Any:
    """As `uncached`, of rows that nobody else has."""
    return marked(rows, ttl=False)


def _of_manager(name: str, own: Callable[..., Any], mark: Callable[..., Any]) -> Callable[..., Any]:
    def method(manager: Any, *given: Any, **named: Any) -> Any:
        find = manager.get_queryset
        rows = find()
        # A manager of Django's makes a query set for each call: it need not be copied.
        if getattr(find, "__func__", None) is _get_queryset and is_as_made(type(rows), name, own):
            return mark(rows, *given, **named)
        return getattr(rows, name)(*given, **named)

    method.__name__ = name
    return method


def is_as_made(kind: Any, name: str, own: Callable[..., Any]) -> bool:
    """Whether this method of a query set's is ours, and a copy of one no more than it."""
    return (
        getattr(kind, name) is own
        and kind._chain is QuerySet._chain
        and kind._clone is QuerySet._clone
    )


def execute_sql(
    compiler: Any,
    result_type: Any = MULTI,
    chunked_fetch: bool = False,
    chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
) -> Any:
    """As Django's, with rows that are there already."""
    following = wanted_by(compiler, result_type) if not chunked_fetch else None
    if following is None:
        return _execute_sql(compiler, result_type, chunked_fetch, chunk_size)
    return Reading(following, compiler, result_type, chunk_size).rows()


def wanted_by(compiler: Any, result_type: Any) -> Following | None:
    """Who follows a query whose rows may be kept; None for any other."""
    query = compiler.query
    option = vars(query).get(OPTION)
    if option is False or (result_type != MULTI and result_type != SINGLE):
        return None
    following = following_of(compiler.connection)
    if following is None or (option is None and not following.results.all_s):
        return None
    return None if query.select_for_update else following


def told(
    got: Got, following: Following, connection: Any, fetch: Callable[[], tuple[Any, list[Any]]]
) -> Any:
    """What is fetched of the database, for whoever keeps what is made of its rows.

    `fetch` gives it, and the rows that are in it.
    """
    _, text, values = got.sent or (None, "", ())
    counts, transactions = following.results.counts, following.transactions
    facts, transaction = following.facts(text, connection)
    shares = transactions.may_share(facts, transaction)
    if not facts.fixed or not shares:
        counts.bypasses += not shares
        return fetch()[0]
    if transactions.is_idle(connection) or transactions.sees_now(connection):
        counts.misses += 1
    else:
        counts.bypasses += 1
    started, began = perf_counter(), transaction.began
    given, rows = fetch()
    got.took_s, got.text = perf_counter() - started, text
    got.facts, got.began = found_by(facts, values, len(rows)), began
    return given


class Reading:
    """One query whose rows may be kept."""

    def __init__(
        self, following: Following, compiler: Any, result_type: Any, chunk_size: int
    ) -> None:
        self._following = following
        self._results = following.results
        self._compiler = compiler
        self._connection = compiler.connection
        self._type = result_type
        self._chunk_size = chunk_size

    def rows(self) -> Any:
        """The rows as Django's own compiler gives them."""
        compiler = self._compiler
        try:
            text, values = compiler.as_sql()
        except EmptyResultSet:
            text, values = "", ()
        if not text:
            return [] if self._type == MULTI else None
        # Django compiles it again where it sends it.
        vars(compiler)["as_sql"] = lambda *_, **__: (text, values)
        try:
            got = vars(compiler.query).get(GOT)
            if got is not None and got.alone:
                got.sent = compiler, text, values
                return told(got, self._following, self._connection, self._fetched)
            option = vars(compiler.query).get(OPTION)
            statement = f"{self._type} {text}"
            asked = self._results.asked(self._following.number, statement, tuple(values), option)
            if asked is None:
                return self._send()
            asked.text = text
            return self._through(asked, text, values)
        finally:
            vars(compiler).pop("as_sql", None)

    def _through(self, asked: Asked, text: str, values: Any) -> Any:
        following, connection, counts = self._following, self._connection, self._results.counts
        facts, transaction = following.facts(text, connection)
        shares = following.transactions.may_share(facts, transaction)
        if not facts.fixed or not shares:
            counts.bypasses += not shares
            return self._send()
        idle = following.transactions.is_idle(connection)
        if not idle and not following.transactions.sees_now(connection):
            counts.bypasses += 1
        elif (found := following.find(asked, connection, transaction, idle=idle)) is not None:
            return self._give(found, facts)
        else:
            counts.misses += 1
        return self._keep(asked, facts, values, transaction.began)

    def _give(self, found: Entry, facts: Facts) -> Any:
        """Rows that are there."""
        self._following.given(found, self._connection)
        self._note(facts if facts.keyed is None else Facts(found.reads), found.began)
        rows = list(found.own())
        if self._type == MULTI:
            return [rows]
        return rows[0] if rows else None

    def _keep(self, asked: Asked, facts: Facts, values: Any, began: int) -> Any:
        """Rows of the database, which are kept."""
        started = perf_counter()
        try:
            given, rows = self._fetched()
            took_s = perf_counter() - started
            facts = found_by(facts, values, len(rows))
            self._note(facts, began)
            if not self._following.transactions.driver.held(self._connection):
                self._results.keep(asked, facts, began, took_s, None, list(map(tuple, rows)))
            return given
        finally:
            self._results.land(asked)

    def _fetched(self) -> tuple[Any, list[Any]]:
        """What the compiler gives, and the rows that are in it."""
        given = self._send()
        if self._type != MULTI:
            return given, [] if given is None else [given]
        rows = [row for chunk in given for row in chunk]
        return [rows], rows

    def _send(self) -> Any:
        return _execute_sql(self._compiler, self._type, False, self._chunk_size)

    def _note(self, facts: Facts, began: int) -> None:
        got = vars(self._compiler.query).get(GOT)
        if got is not None:
            got.facts, got.began = facts, began

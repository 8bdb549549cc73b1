"""The shortest way to one object: `get` of a model by values, where its row is kept.

Django builds and compiles a query before it can be asked for; here the values themselves are the
key, and an object is made of the values that its fields had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import QuerySet
from django.db.models.query import ModelIterable

from apsperf_django.following import following_of
from apsperf_django.rows import GOT, Got
from apsperf_mw.db.results import OPTION, SAFE

if TYPE_CHECKING:
    from apsperf_django.following import Following
    from apsperf_mw.db.results import Asked

NOTHING_DEFERRED: tuple[frozenset[str], bool] = (frozenset(), True)
_get = QuerySet.get


def get(rows: Any, *args: Any, **values: Any) -> Any:
    """As Django's, without a query where the object's row is kept."""
    option = vars(rows.query).get(OPTION)
    if args or option is False or not values:
        return _get(rows, *args, **values)
    connection = connections[rows.db]
    following = following_of(connection)
    if following is None or (option is None and not following.tables.results.all_s):
        return _get(rows, **values)
    asked = asked_for(rows, values, option, following)
    if asked is None:
        return _get(rows, **values)
    return found(rows, asked, following, connection) or kept(rows, asked, values, following)


def asked_for(rows: Any, values: dict[str, Any], option: Any, following: Following) -> Asked | None:
    """The key of a plain query by these values; None for any other."""
    query = rows.query
    plain = not (
        query.where.children
        or query.annotations
        or query.select_related
        or query.combinator
        or query.distinct
        or query.select_for_update
        or query.is_sliced
        or query.extra
        or query.extra_tables
        or rows._prefetch_related_lookups
        or rows._known_related_objects
    )
    if not plain or rows._iterable_class is not ModelIterable:
        return None
    if query.deferred_loading != NOTHING_DEFERRED:
        return None
    return following.tables.results.asked(following.number, rows.model, values, option)


def found(rows: Any, asked: Asked, following: Following, connection: Any) -> Any:
    """An object of the row that is kept, if it is good here and now."""
    transactions = following.transactions
    transaction = transactions.of(connection)
    if not transactions.sees_now(connection) or transaction.altered:
        return None
    entry = following.ready(asked, connection, transaction)
    if entry is None:
        return None
    writes = transaction.writes
    if writes and not writes.isdisjoint(entry.reads):
        return None
    following.given(entry, connection)
    names, row = entry.columns, entry.rows[0]
    return rows.model.from_db(rows.db, names, row)


def kept(rows: Any, asked: Asked, values: dict[str, Any], following: Following) -> Any:
    """The object from the database; its row is kept where all its values are plain."""
    got = vars(rows.query)[GOT] = Got()
    try:
        made: Any = _get(rows, **values)
    finally:
        del vars(rows.query)[GOT]
    facts = got.facts
    if facts is not None and not made._state.fields_cache:
        names = [field.attname for field in made._meta.concrete_fields]
        row = tuple([vars(made).get(name, NOTHING_DEFERRED) for name in names])
        if all(type(value) in SAFE for value in row):
            asked.worth = False  # it was worth it as a statement
            following.tables.results.keep(asked, facts, got.began, 0.0, names, [row])
    return made

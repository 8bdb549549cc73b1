"""The shortest way to one object: `get` of a model by values, where its row is kept.

Django builds and compiles a query before it can be asked for; here the values themselves are the
key, and an object is made of the values that its fields had.
"""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import Model, QuerySet
from django.db.models import query as querying
from django.db.models.query import ModelIterable
from django.db.models.signals import post_init
from django.db.models.sql import Query

from apsperf_django.following import following_of
from apsperf_django.rows import GOT, Got
from apsperf_mw.db.results import OPTION, SAFE

if TYPE_CHECKING:
    from apsperf_django.following import Following
    from apsperf_mw.db.results import Asked

# How related objects are loaded later, since Django 6.1.
USUAL_FETCH = getattr(querying, "DEFAULT_FETCH_MODE", None)
NOTHING_DEFERRED: tuple[frozenset[str], bool] = (frozenset(), True)
# What a query set of its own may do otherwise; and fields whose values mean one thing alone.
FINDS = (
    "filter",
    "exclude",
    "_filter_or_exclude",
    "_filter_or_exclude_inplace",
    "_chain",
    "_clone",
)
PLAIN_FIELDS = frozenset(
    (
        *(models.AutoField, models.BigAutoField, models.SmallAutoField, models.IntegerField),
        *(models.BigIntegerField, models.SmallIntegerField, models.PositiveIntegerField),
        *(models.CharField, models.TextField, models.SlugField, models.EmailField),
        *(models.UUIDField, models.BooleanField),
    )
)
_get = QuerySet.get


@wraps(_get)
def get(rows: Any, *args: Any, **values: Any) -> Any:
    """As Django's, without a query where the object's row is kept."""
    option = vars(rows.query).get(OPTION)
    if args or option is False or not values or not is_plain(rows, values):
        return _get(rows, *args, **values)
    using = rows.db  # a router may say another one each time
    connection = connections[using]
    following = following_of(connection)
    if following is None or (option is None and not following.results.all_s):
        return _get(rows, **values)
    asked = following.results.asked(following.number, rows.model, values, option)
    if asked is None:
        return _get(rows, **values)
    known = found(rows.model, using, asked, following, connection)
    return kept(rows.using(using), asked, values, following) if known is None else known


def is_plain(rows: Any, values: dict[str, Any]) -> bool:
    """Whether a query set finds a row by these fields' values, and by nothing else."""
    query = rows.query
    return not (
        type(query) is not Query
        or query.where.children
        or query.annotations
        or query._filtered_relations
        or query.select_related
        or query.combinator
        or query.distinct
        or query.select_for_update
        or query.is_sliced
        or query.extra
        or query.extra_tables
        or rows._prefetch_related_lookups
        or rows._known_related_objects
        or rows._iterable_class is not ModelIterable
        or query.deferred_loading != NOTHING_DEFERRED
        or not is_djangos(rows.__class__)
        or not fields_of(rows.model).issuperset(values)
        or post_init.has_listeners(rows.model)
        or getattr(rows, "_fetch_mode", USUAL_FETCH) is not USUAL_FETCH
    )


@lru_cache(maxsize=256)
def is_djangos(kind: type) -> bool:
    """Whether its rows are found as Django's own are."""
    return all(getattr(kind, name) is getattr(QuerySet, name) for name in FINDS)


@lru_cache(maxsize=1024)
def fields_of(model: Any) -> frozenset[str]:
    """The fields whose values say all; none of a model that makes its objects itself."""
    own = (
        model.from_db.__func__ is not Model.from_db.__func__ or model.__init__ is not Model.__init__
    )
    if own:
        return frozenset()
    plain = [field for field in model._meta.concrete_fields if type(field) in PLAIN_FIELDS]
    names = {name for field in plain for name in (field.name, field.attname)}
    return frozenset({*names, "pk"} if model._meta.pk in plain else names)


def found(model: Any, using: str, asked: Asked, following: Following, connection: Any) -> Any:
    """An object of the row that is kept, if it is good here and now."""
    transactions = following.transactions
    transaction = transactions.of(connection)
    idle = transactions.is_idle(connection)
    if transaction.altered or not (idle or transactions.sees_now(connection)):
        return None
    entry = following.find(asked, connection, transaction, idle=idle, waits=False)
    if entry is None:
        return None
    writes = transaction.writes
    if writes and not writes.isdisjoint(entry.reads):
        return None
    following.given(entry, connection)
    names, row = entry.columns, entry.rows[0]
    return model.from_db(using, names, row)


def kept(rows: Any, asked: Asked, values: dict[str, Any], following: Following) -> Any:
    """The object from the database; its row is kept where all its values are plain."""
    got = vars(rows.query)[GOT] = Got()  # the query is a copy that nobody else has
    made: Any = _get(rows, **values)
    facts = got.facts
    if facts is not None and not made._state.fields_cache:
        names = [field.attname for field in made._meta.concrete_fields]
        row = tuple([vars(made).get(name, NOTHING_DEFERRED) for name in names])
        driver, connection = following.transactions.driver, connections[rows.db]
        if all(type(value) in SAFE for value in row) and not driver.held(connection):
            asked.worth = False  # it was worth it as a statement
            following.results.keep(asked, facts, got.began, 0.0, names, [row])
    return made

"""The shortest way to one object: `get` of a model by values, where its row is kept.

Django builds and compiles a query before it can be asked for; here the values themselves are the
key, and an object is made of the values that its fields had.
"""

from __future__ import annotations

from functools import lru_cache, partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, models
from django.db.models import ForeignKey, Model, OneToOneField, QuerySet
from django.db.models import query as querying
from django.db.models.query import ModelIterable
from django.db.models.signals import post_init
from django.db.models.sql import Query

from apsperf_django.following import following_of, keeps_all
from apsperf_django.objects import made_of, names_of
from apsperf_django.ready import learn, ready_of
from apsperf_django.rows import GOT, Got, told
from apsperf_mw.db.results import OPTION, SAFE
from apsperf_mw.runtime.loop import running_loop

if TYPE_CHECKING:
    from apsperf_django.following import Following
    from apsperf_django.ready import Ready
    from apsperf_mw.db.results import Asked, Entry

# How related objects are loaded later, since Django 6.1.
USUAL_FETCH = getattr(querying, "DEFAULT_FETCH_MODE", None)
NOTHING_DEFERRED: tuple[frozenset[str], bool] = (frozenset(), True)
# What a query set of its own may do otherwise; and fields whose values mean one thing alone.
FINDS = (
    *("filter", "exclude", "_filter_or_exclude", "_filter_or_exclude_inplace", "order_by"),
    *("_chain", "_clone", "_fetch_all", "__len__"),
)
PLAIN_FIELDS = frozenset(
    (
        *(models.AutoField, models.BigAutoField, models.SmallAutoField, models.IntegerField),
        *(models.BigIntegerField, models.SmallIntegerField, models.PositiveIntegerField),
        *(models.CharField, models.TextField, models.SlugField, models.EmailField),
        *(models.UUIDField, models.BooleanField),
    )
)
# And those whose values nobody can change.
SAFE_FIELDS = PLAIN_FIELDS | {
    *(models.PositiveBigIntegerField, models.PositiveSmallIntegerField, models.FloatField),
    *(models.DecimalField, models.DateField, models.DateTimeField, models.TimeField),
    *(models.DurationField, models.URLField, models.GenericIPAddressField),
}
# What a query has of its own where it was told nothing but that it is to be kept.
UNTOLD = frozenset({*vars(Query(None)), *vars(Query(None).chain()), OPTION})
_get = QuerySet.get


@wraps(_get)
def get(rows: Any, *args: Any, **values: Any) -> Any:
    """As Django's, without a query where the object's row is kept."""
    option = vars(rows.query).get(OPTION)
    wanted = option is not False and (option is not None or keeps_all())
    if not wanted or args or not values or not is_plain(rows, values):
        return _get(rows, *args, **values)
    model = rows.model
    using = rows.db  # a router may say another one each time
    connection = connection_of(using)
    following = following_of(connection)
    if following is None:
        return _get(rows, **values)
    asked = following.results.asked(following.number, model, values, option)
    if asked is None:
        return _get(rows, **values)
    alone = is_safe(model)
    entry = found(asked, following, connection, waits=alone)
    if entry is None:
        try:
            return fresh(rows, asked, values, Source(following, connection, using), alone=alone)
        finally:
            following.results.land(asked)
    if not entry.rows:
        raise model.DoesNotExist(*entry.columns)
    return made_of(model, using, entry.columns, entry.rows[0])


def connection_of(using: str) -> Any:
    """This thread's or task's connection, as Django finds it.

    Outside of an event loop that is an attribute of a local of the thread; to be told that there is
    no loop by an exception takes Django ten times as long.
    """
    if running_loop() is None:
        try:
            return getattr(connections._connections._storage, using)
        except AttributeError:
            pass
    return connections[using]


def is_plain(rows: Any, values: dict[str, Any]) -> bool:
    """Whether a query set finds a row by these fields' values, and by nothing else."""
    model, kind = rows.model, rows.__class__
    return (
        is_bare(rows.query)
        and rows._iterable_class is ModelIterable
        and not rows._prefetch_related_lookups
        and not rows._known_related_objects
        and getattr(rows, "_fetch_mode", USUAL_FETCH) is USUAL_FETCH
        and (kind is QuerySet or is_djangos(kind))
        and fields_of(model).issuperset(values)
        and not (post_init.receivers and post_init.has_listeners(model))
    )


def is_bare(query: Any) -> bool:
    """Whether it is a query of all rows of a model, as it was made.

    What a query has not been told stands in its class.
    """
    return (
        type(query) is Query
        and not query.where.children
        and not query.annotations
        and not query.extra
        and not query._filtered_relations
        and (UNTOLD.issuperset(vars(query)) or is_undone(query))
    )


def is_undone(query: Any) -> bool:
    """Whether what it was told besides is what it does without."""
    return not (
        query.select_related
        or query.combinator
        or query.distinct
        or query.select_for_update
        or query.is_sliced
        or query.extra_tables
        or query.deferred_loading != NOTHING_DEFERRED
        or query.select
        or query.group_by is not None
        or not query.default_cols
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


def alike(rows: Any, using: str) -> Any:
    """The same rows of that database, to be asked for something: their query is not shared."""
    query = Query.__new__(Query)
    vars(query).update(vars(rows.query))
    made = rows.__class__(model=rows.model, query=query, using=using, hints=rows._hints)
    made._sticky_filter, made._for_write = rows._sticky_filter, rows._for_write
    return made


def found(asked: Asked, following: Following, connection: Any, *, waits: bool) -> Entry | None:
    """The row that is kept, if it is good here and now; that there is none may be kept, too."""
    transactions = following.transactions
    idle = transactions.is_idle(connection)
    if idle and transactions.is_new(connection):  # there is nothing to heed or to end
        entry = following.find(asked, connection, None, idle=True, waits=waits)
        if entry is not None:
            following.take(entry)
        return entry
    transaction = transactions.of(connection)
    if transaction.altered or not (idle or transactions.sees_now(connection)):
        return None
    entry = following.find(asked, connection, transaction, idle=idle, waits=waits)
    if entry is None:
        return None
    writes = transaction.writes
    if writes and not writes.isdisjoint(entry.reads):
        return None
    following.given(entry, connection)
    return entry


class Source(NamedTuple):
    """Where an object is read that is not kept."""

    following: Following
    connection: Any
    using: str


def fresh(rows: Any, asked: Asked, values: dict[str, Any], source: Source, *, alone: bool) -> Any:
    """The object from the database; its row is kept where all its values are plain."""
    got, model = Got(alone), rows.model
    ready = ready_of(source.connection, model, values) if alone else None
    given = None if ready is None else ready.parameters(values)
    if ready is not None and given is not None:
        return again(model, asked, ready, given, source)
    try:
        return kept(alike(rows, source.using), asked, values, got, source)
    finally:
        if ready is None and got.sent is not None:
            learn(source.connection, model, values, got.sent)


def again(model: Any, asked: Asked, ready: Ready, given: tuple[Any, ...], source: Source) -> Any:
    """The object, by a statement that is compiled already."""
    got, names = Got(alone=True), names_of(model)
    got.sent = ready.compiler, ready.text, given
    rows = told(got, source.following, source.connection, partial(ready.fetched, given))
    name = model._meta.object_name
    if not rows:
        said = f"{name} matching query does not exist."
        keep(asked, got, source, (said,), [])
        raise model.DoesNotExist(said)
    if len(rows) > 1:
        most = querying.MAX_GET_RESULTS - 1
        many = len(rows) if len(rows) <= most else f"more than {most}"
        raise model.MultipleObjectsReturned(
            f"get() returned more than one {name} -- it returned {many}!"
        )
    made = made_of(model, source.using, names, rows[0])
    keep_row(asked, got, source, names, rows[0])
    return made


def kept(rows: Any, asked: Asked, values: dict[str, Any], got: Got, source: Source) -> Any:
    """The object by a query of Django's."""
    vars(rows.query)[GOT] = got  # the query is a copy that nobody else has
    try:
        made: Any = _get(rows, **values)
    except rows.model.DoesNotExist as fault:
        if got.alone:
            keep(asked, got, source, fault.args, [])
        raise
    if got.facts is None or made._state.fields_cache:
        return made
    known, names = vars(made), names_of(rows.model)
    row = tuple([known.get(name, NOTHING_DEFERRED) for name in names])
    keep_row(asked, got, source, names, row)
    return made


def keep_row(asked: Asked, got: Got, source: Source, names: Any, row: tuple[Any, ...]) -> None:
    """Keep an object's values, if nobody can change them."""
    if all(type(value) in SAFE for value in row):
        asked.worth = False  # whoever asks by these values asks again
        keep(asked, got, source, names, [row])


def keep(asked: Asked, got: Got, source: Source, columns: Any, rows: Any) -> None:
    """Keep what was found, where the statement's rows might be kept."""
    following, connection, _ = source
    asked.text = got.text
    if got.facts is not None and not following.transactions.driver.held(connection):
        following.results.keep(asked, got.facts, got.began, got.took_s, columns, rows)


@lru_cache(maxsize=1024)
def is_safe(model: Any) -> bool:
    """Whether an object is kept by itself: else its statement's rows are kept, too."""
    return all(type(end_of(field)) in SAFE_FIELDS for field in model._meta.concrete_fields)


def end_of(field: Any) -> Any:
    """The field whose values a field has: that of another model where it leads there."""
    while field.remote_field is not None and type(field) in {ForeignKey, OneToOneField}:
        field = field.target_field
    return field

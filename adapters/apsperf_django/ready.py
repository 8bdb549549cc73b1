"""Statements of `get` that are compiled already: sent again, only their values are others.

Django builds a query of the values, compiles it, and learns from its compiler what an object is
made of; for the same model and fields all but the values comes out the same each time. Each
connection has its own, as what is compiled belongs to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Model, QuerySet, lookups
from django.db.models.expressions import Col
from django.db.models.query import ModelIterable
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.where import AND

from apsperf_django.rows import GOT, _execute_sql, execute_sql
from apsperf_mw.guards import package

if TYPE_CHECKING:
    from collections.abc import Mapping

    Values = Mapping[str, Any]
    Row = tuple[Any, ...]

PLACE = "_apsperf_ready"
SYSTEMS = frozenset({"sqlite", "postgresql"})
# Past so many a connection begins anew.
MOST_READY = 256
EXACT = frozenset({lookups.Exact, getattr(lookups, "IntegerFieldExact", lookups.Exact)})
COMPILES = ("as_sql", *(f"as_{system}" for system in SYSTEMS))
# What has a part in a `get`, as Django has it: whoever puts something in its place is heeded.
PARTS: tuple[tuple[type, str], ...] = (
    *((SQLCompiler, name) for name in ("as_sql", "results_iter", "apply_converters")),
    *((QuerySet, name) for name in ("_fetch_all", "__len__", "order_by", "filter")),
    *((ModelIterable, "__iter__"), (Model, "__init__"), (Model, "from_db")),
)


def parts() -> list[Any]:
    """As they are now."""
    found = [vars(kind).get(name) for kind, name in PARTS]
    return found + [getattr(kind, name, None) for kind in EXACT for name in COMPILES]


def is_own() -> bool:
    """Whether all are as they were, and only we stand in for what sends a query."""
    return _plain and SQLCompiler.execute_sql is execute_sql and parts() == _own


_own = parts()
# Whoever was there before us has a part in it, too; `wraps` would hide them in `__module__`.
_plain = all(
    package(getattr(each, "__func__", each)).startswith("django.db.")
    for each in (*filter(None, _own), _execute_sql)
)
# How often settings have changed, on which what is compiled may depend.
_changes = [0]


class Ready(NamedTuple):
    """One of a connection; `fields` are each value's name, its column, and what compares them."""

    text: str
    compiler: Any
    converters: Any
    fields: tuple[tuple[str, Any, Any], ...]

    def parameters(self, values: Values) -> tuple[Any, ...] | None:
        """The values as they are sent; None where Django may send another statement for them."""
        compiler = self.compiler
        given: list[Any] = []
        for name, column, compare in self.fields:
            value = values[name]
            if not is_told(value) or column.output_field.get_lookup("exact") is not compare:
                return None
            try:
                place, more = compare(column, value).process_rhs(compiler, compiler.connection)
            except Exception:
                return None  # it is for Django to say so
            if place != "%s":
                return None
            given += more
        return tuple(given)

    def fetched(self, parameters: tuple[Any, ...]) -> tuple[list[Row], list[Row]]:
        """The rows that the database has; twice."""
        compiler = self.compiler
        with compiler.connection.cursor() as cursor:
            cursor.execute(self.text, parameters)
            rows = cursor.fetchall()
        if self.converters:
            rows = compiler.apply_converters(rows, self.converters)
        found = list(map(tuple, rows))
        return found, found


def ready_of(connection: Any, model: Any, values: Values) -> Ready | None:
    """The statement for a model's row with these fields' values, where it was sent before."""
    known = vars(connection).get(PLACE)
    ready: Ready | None = None if known is None else known.get((_changes[0], model, *values))
    if ready is None or not is_own():
        return None
    own = model.__init__ is Model.__init__ and model.from_db.__func__ is Model.from_db.__func__
    return ready if own else None


def learn(connection: Any, model: Any, values: Values, sent: Any) -> None:
    """A statement was `sent`: the compiler, the text, and the parameters."""
    known = vars(connection).setdefault(PLACE, {})
    key = _changes[0], model, *values
    if key in known or not is_own() or not all(map(is_told, values.values())):
        return
    try:
        ready = made_of(model, values, *sent)
    except Exception:
        ready = None  # of another Django than is known
    if len(known) >= MOST_READY:
        known.clear()
    known[key] = ready


def made_of(model: Any, values: Values, compiler: Any, text: str, given: Any) -> Ready | None:
    """What may be sent again; None where only Django knows what to send."""
    vars(compiler.query).pop(GOT, None)
    fields = compared(compiler, model, values) if is_plain(compiler, model) else None
    if fields is None:
        return None
    converters = compiler.get_converters([column for column, *_ in compiler.select])
    ready = Ready(text, compiler, converters, fields)
    return ready if ready.parameters(values) == tuple(given) else None


def is_told(value: Any) -> bool:
    """Whether a value is a parameter wherever it goes, and never a part of the statement."""
    return value is not None and value != "" and type(value) is not bool


def is_plain(compiler: Any, model: Any) -> bool:
    """Whether its rows are the values of the model's columns, by a compiler of Django's own."""
    columns = [column for column, *_ in compiler.select]
    names = [field.attname for field in model._meta.concrete_fields]
    told = compiler.klass_info
    return (
        type(compiler).__module__.startswith("django.db.")
        and compiler.connection.vendor in SYSTEMS
        and all(type(column) is Col for column in columns)
        and [column.target.attname for column in columns] == names
        and told["model"] is model
        and list(told["select_fields"]) == list(range(len(columns)))
        and not told.get("related_klass_infos")
        and not compiler.annotation_col_map
        and not compiler.has_extra_select
    )


def compared(compiler: Any, model: Any, values: Values) -> tuple[tuple[str, Any, Any], ...] | None:
    """What compares each value with its column; None where there is more to it."""
    where, meta = compiler.query.where, model._meta
    if where.connector != AND or where.negated or len(where.children) != len(values):
        return None
    found = []
    for name, child in zip(sorted(values), where.children, strict=True):  # as Q sorts them
        field = meta.pk if name == "pk" else meta.get_field(name)
        if type(child) not in EXACT or type(child.lhs) is not Col or child.lhs.target is not field:
            return None
        found.append((name, child.lhs, type(child)))
    return tuple(found)


def forget() -> None:
    """Settings have changed."""
    _changes[0] += 1

"""What SQLAlchemy's statements load and nobody looks at: eager relationships, and wide columns.

Mapped attributes find values in their object's dictionary, which is changed for one that notes
each look while a load is watched: see `apsperf_mw.observe.noted`. Classes are left alone.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet, ref

from sqlalchemy import event
from sqlalchemy.orm import Mapper

from apsperf_mw.observe.noted import MOST_OBJECTS, Noted, Part, size_of
from apsperf_mw.observe.sites import site_of
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.loads import Loads
    from apsperf_mw.observe.noted import Load

# Where the load of a statement is kept meanwhile.
KEY = "apsperf_load"
EAGER = {
    "joined": "joinedload",
    "selectin": "selectinload",
    "subquery": "subqueryload",
    "immediate": "immediateload",
}


class Watch:
    """Watches the loads of a suite's engines."""

    def __init__(self, loads: Loads, faults: Faults) -> None:
        self._loads = loads
        self._faults = faults
        self._lock = Lock()
        self._engines: WeakSet[Engine] = WeakSet()
        self._listener: Callable[..., None] | None = None

    def watch(self, engine: Engine) -> Callable[[], None]:
        """Watch this one too; gives what ends it."""
        with self._lock:
            self._engines.add(engine)
            if self._listener is None:
                self._listener = listener(ref(self))
                event.listen(Mapper, "load", self._listener, raw=True)
        return partial(self._leave, ref(engine))

    def tidy(self) -> None:
        """There is nothing on classes."""

    def leave(self) -> None:
        """Watch none any more."""
        with self._lock:
            self._engines.clear()
            self._hear_no_more()

    def renew(self) -> None:
        """A forked child begins."""
        self._lock = Lock()

    def _leave(self, of: ref[Engine]) -> None:
        engine = of()
        with self._lock:
            if engine is not None:
                self._engines.discard(engine)
            if not self._engines:
                self._hear_no_more()

    def _hear_no_more(self) -> None:
        if self._listener is not None:
            event.remove(Mapper, "load", self._listener)
            self._listener = None

    def begin(self, context: Any) -> Brought | None:
        """The load of a statement that has brought its first object, if it is watched."""
        if not self._loads.drawn() or not self._is_of(context.session):
            return None
        return Brought(self._loads.begin(site_of()), asked_in(context), self._faults)

    def _is_of(self, session: Any) -> bool:
        """Whether the session has a connection of one of the engines."""
        dialects = [each.dialect for each in self._engines]
        used = getattr(session.get_transaction(), "_connections", ())
        return any(each.dialect in dialects for each in used)


def listener(of: ref[Watch]) -> Callable[[Any, Any], None]:
    """What hears of objects, and does not keep a suite alive."""

    def loaded(state: Any, context: Any) -> None:
        attributes = context.attributes
        found = attributes.get(KEY)
        if found is None:
            watch = of()
            found = attributes[KEY] = (watch is not None and watch.begin(context)) or False
        if found:
            found.take(state)

    return loaded


class Kind(NamedTuple):
    """What objects of a mapper have: columns; relations, and whether these come later, too."""

    below: str
    columns: list[tuple[str, Part]]
    relations: list[tuple[str, Part, bool]]


class Brought:
    """What one statement has brought so far."""

    def __init__(self, load: Load, asked: dict[Any, str], faults: Faults) -> None:
        self._load = load
        self._asked = asked
        self._faults = faults
        self._kinds: dict[Any, Kind] = {}
        self._left = MOST_OBJECTS

    def take(self, state: Any) -> None:
        """One more object, of which a fault is ours alone; of too many nothing is said."""
        if self._left == 0:
            return
        self._left -= 1
        try:
            if not self._left or not can_be_noted(state.class_):
                self._forget()
            else:
                self._note(state)
        except Exception as fault:
            self._forget()
            self._faults.note("a look at what was loaded", fault)

    def _note(self, state: Any) -> None:
        kind, own = self._kinds.get(state.mapper), state.dict
        if kind is None:
            kind = self._kinds[state.mapper] = self._kind(state.mapper)
        parts, value_of = self._load.parts, own.get
        for key, part in kind.columns:
            part.rows += 1
            part.size_bytes += size_of(value_of(key))
        for key, part, later in kind.relations:
            if later or value_of(key):
                part.rows += 1
                parts[kind.below + key] = part
        # As classes of the app's may have a way of their own to set what is theirs.
        object.__setattr__(state.obj(), "__dict__", Noted(own, self._load, kind.below))

    def _forget(self) -> None:
        self._left = 0
        self._load.forget()

    def _kind(self, mapper: Any) -> Kind:
        """What is asked of such objects."""
        below = f"{mapper.class_.__name__}."
        columns, relations = [], []
        for key in columns_of(mapper):
            part = Part(below + key, f"defer({below + key})", column=True)
            self._load.parts[below + key] = part
            columns.append((key, part))
        for relation in mapper.relationships:
            asked = self._asked.get(relation, "")
            how = asked or relation.lazy
            if how in EAGER:
                path = below + relation.key
                fix = f"remove {EAGER[how]}({path})" if asked else f"lazyload({path})"
                relations.append((relation.key, Part(path, fix), asked == "selectin"))
        return Kind(below, columns, relations)


def asked_in(context: Any) -> dict[Any, str]:
    """How relationships are loaded, as far as the statement's options say so."""
    found = {}
    for key, element in context.attributes.items():
        if type(key) is tuple and key[0] == "loader":
            how = dict(getattr(element, "strategy", None) or ()).get("lazy")
            if how is not None:
                found[key[1][-1]] = str(how)
    return found


def can_be_noted(kind: type) -> bool:
    """Whether all who look at its objects are seen: code in C reads these past the dictionary."""
    return not (is_dataclass(kind) or hasattr(kind, "__pydantic_validator__"))


def columns_of(mapper: Any) -> tuple[str, ...]:
    """The attributes of columns that could be left out."""
    keys = set(mapper.primary_key)
    return tuple(each.key for each in mapper.column_attrs if keys.isdisjoint(each.columns))

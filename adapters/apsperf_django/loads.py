"""What querysets load and nobody looks at: `select_related`, `prefetch_related`, wide columns.

A load that is watched has dictionaries of its objects changed for ones that note each look, and
no more of the app: see `apsperf_mw.observe.noted`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.query import ModelIterable
from msgspec import Struct

from apsperf_django.columns import Columns, wide_of
from apsperf_mw.observe.noted import MOST_OBJECTS, Load, Noted, Part
from apsperf_mw.observe.sites import site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from apsperf_mw.faults import Faults
    from apsperf_mw.observe.loads import Loads

    Tree = dict[str, "Node"]

SELECT, PREFETCH, EVERY = "select_related", "prefetch_related", "select_related()"
PREFETCHED = "_prefetched_objects_cache"
SITE = "apsperf_site"
_fetch_all, _aiter = QuerySet._fetch_all, QuerySet.__aiter__


class Watch:
    """Who watches the loads of query sets; one for the process, as these are."""

    def __init__(self, loads: Loads, faults: Faults) -> None:
        self.loads = loads
        self.columns = Columns()
        self._faults = faults
        loads.watchers.append(self)

    def tidy(self) -> None:
        """Take away the hooks of loads that are over."""
        self.columns.tidy()

    def renew(self) -> None:
        """A forked child begins."""
        self.columns.renew()

    def leave(self) -> None:
        """Watch no more."""
        if _watching and _watching[0] is self:
            _watching.clear()
            teach(_fetch_all, _aiter)
        self.columns.leave()

    def look(self, rows: Any, site: str, *, columns: bool = True) -> None:
        """At what a line has loaded just now; a fault is ours alone."""
        objects = rows._result_cache
        if not objects or len(objects) > MOST_OBJECTS:
            return
        load = self.loads.begin(site)
        try:
            Look(load, self.columns if columns else None).below(objects, tree_of(rows))
        except Exception as fault:
            load.forget()
            self._faults.note("a look at what was loaded", fault)


_watching: list[Watch] = []
# Whether what is fetched is prefetched for others, whose line it is that can leave columns out.
_prefetching: ContextVar[bool] = ContextVar("apsperf_prefetching", default=False)


def watch(loads: Loads, faults: Faults) -> None:
    """Have a share of the loads watched from now on, in place of who did so before."""
    if _watching:
        _watching[0].leave()
    _watching.append(Watch(loads, faults))
    teach(fetch_all, aiter_of)


def teach(fetch: Callable[..., Any], aiter: Callable[..., Any]) -> None:  # noqa: A002
    """Have query sets fetch so."""
    setattr(QuerySet, "_fetch_all", fetch)  # noqa: B010 - types would not have it
    setattr(QuerySet, "__aiter__", aiter)  # noqa: B010


def fetch_all(rows: Any) -> None:
    """As Django's."""
    watching = _watching[:1]
    if not watching or rows._result_cache is not None or rows._iterable_class is not ModelIterable:
        _fetch_all(rows)
        return
    within = _prefetching.get()
    if rows._prefetch_related_lookups:
        token = _prefetching.set(True)
        try:
            _fetch_all(rows)
        finally:
            _prefetching.reset(token)
    else:
        _fetch_all(rows)
    awaited = vars(rows).pop(SITE, None)
    if awaited is not None or watching[0].loads.drawn():
        site = site_of() if awaited is None else awaited
        watching[0].look(rows, site, columns=not within)


def aiter_of(rows: Any) -> Any:
    """As Django's, which goes to another thread: there nobody knows the line that awaits it."""
    if rows._result_cache is None and _watching and _watching[0].loads.drawn():
        vars(rows)[SITE] = site_of()
    return _aiter(rows)


class Node(Struct, eq=False):
    """A relation that was asked for, by what, and those that hang on it."""

    how: str
    below: dict[str, Node] = {}


def tree_of(rows: Any) -> Tree:
    """The relations that a query set was told to load."""
    tree: Tree = {}
    asked = rows.query.select_related
    if asked is True:
        known = {field.name for field in rows._known_related_objects}
        fields = rows.model._meta.concrete_fields
        names = [each.name for each in fields if each.is_relation and not each.null]
        tree.update({name: Node(EVERY) for name in names if name not in known})
    elif asked:
        tree.update(selected(asked))
    for lookup in rows._prefetch_related_lookups:
        path = getattr(lookup, "prefetch_through", lookup)
        # What is put into an attribute of its own is looked at unseen.
        if getattr(lookup, "prefetch_to", path) == path:
            add(tree, path.split(LOOKUP_SEP))
    return tree


def selected(asked: dict[str, Any]) -> Tree:
    """As Django has it, in nodes."""
    return {name: Node(SELECT, selected(below)) for name, below in asked.items()}


def add(tree: Tree, path: list[str]) -> None:
    """A path that is prefetched."""
    for name in path:
        tree = tree.setdefault(name, Node(PREFETCH)).below


def cure(path: str, name: str, node: Node, above: Node | None) -> str:
    """What to type so that a relation is not loaded."""
    if node.how == EVERY:
        return f"name what is wanted in select_related(), without {name!r}"
    typed, last = path + name, node
    while last.below:
        more, last = next(iter(last.below.items()))
        typed += LOOKUP_SEP + more
    if above is not None and above.how == node.how:
        return f"{node.how}({path.removesuffix(LOOKUP_SEP)!r}) in place of {typed!r}"
    return f"remove {node.how}({typed!r})"


def deferred(path: str, above: Node | None, model: str) -> Callable[[str], str]:
    """What to type so that a column of these objects is not loaded."""
    if above is None or above.how != PREFETCH:
        return lambda name: f"defer({path + name!r})"
    through = path.removesuffix(LOOKUP_SEP)
    return lambda name: f"Prefetch({through!r}, {model}.objects.defer({name!r}))"


class Look:
    """Through the objects of one load, relation by relation."""

    def __init__(self, load: Load, hooks: Columns | None) -> None:
        self._load = load
        self._hooks = hooks
        self._left = MOST_OBJECTS

    def below(
        self, found: Iterable[Any], tree: Tree, path: str = "", above: Node | None = None
    ) -> None:
        """Have looks at these objects noted, and at those that were loaded with them."""
        objects = list({id(each): each for each in found}.values())
        self._left -= len(objects)
        if self._left < 0 or not objects or any(map(is_noted, objects)):
            return
        wide = {} if self._hooks is None else wide_of(objects)
        model = type(objects[0])._meta.object_name
        parts = self._relations(objects, tree, path, above, model)
        for name, size_bytes in wide.items():
            fix = deferred(path, above, model)(name)
            part = Part(f"{model}.{name}", fix, len(objects), size_bytes, column=True)
            parts[path + name] = part
        if parts:
            self._load.parts.update(parts)
            if self._hooks is not None:
                self._hooks.hook(type(objects[0]), wide, self._load)
            for each in objects:
                note(each, self._load, path, whole=bool(wide))

    def _relations(
        self, objects: list[Any], tree: Tree, path: str, above: Node | None, model: str
    ) -> dict[str, Part]:
        """Those that have brought objects, whose own are looked at first."""
        parts = {}
        for name, node in tree.items():
            if related := list(related_of(objects, name)):
                fix = cure(path, name, node, above)
                parts[path + name] = Part(f"{model}.{name}", fix, len(related))
                self.below(related, node.below, path + name + LOOKUP_SEP, node)
        return parts


def is_noted(each: Any) -> bool:
    """Whether another load has it."""
    return type(each._state.fields_cache) is Noted or type(vars(each)) is Noted


def related_of(objects: list[Any], name: str) -> Iterator[Any]:
    """What was loaded with the objects under this name."""
    for each in objects:
        single = each._state.fields_cache.get(name)
        if single is not None:
            yield single
        many = vars(each).get(PREFETCHED, {}).get(name)
        yield from (None if many is None else many._result_cache) or ()


def note(each: Any, load: Load, path: str, *, whole: bool) -> None:
    """Have looks at an object's relations noted, and at its columns where some are wide."""
    state, own = each._state, vars(each)
    state.fields_cache = Noted(state.fields_cache, load, path)
    if own.get(PREFETCHED):
        own[PREFETCHED] = Noted(own[PREFETCHED], load, path)
    if whole:
        # As models may have a way of their own to set what is theirs.
        object.__setattr__(each, "__dict__", Noted(own, load, path))

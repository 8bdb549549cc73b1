"""Looks at the wide columns of objects whose load is watched.

Values are found in an object's dictionary before anybody is asked, unless its class has a data
descriptor for them: it gets one while objects of it are watched, which does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from django.db.models.query_utils import DeferredAttribute

from apsperf_mw.observe.noted import WIDE_BYTES, is_shared, size_of
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.observe.noted import Load


class Hook:
    """In place of a field's descriptor: an object's own value first, as without."""

    def __init__(self, own: Any, name: str) -> None:
        self.own = own
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self.own
        try:
            return instance.__dict__[self.name]
        except KeyError:
            return self.own.__get__(instance, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = value

    def __delete__(self, instance: Any) -> None:
        try:
            del instance.__dict__[self.name]
        except KeyError:
            said = f"{type(instance).__name__!r} object has no attribute {self.name!r}"
            raise AttributeError(said, name=self.name, obj=instance) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


class Hooked(NamedTuple):
    """A hook, and the loads for whose sake it is there."""

    hook: Hook
    loads: WeakSet[Load]


class Columns:
    """The hooks of a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._hooked: dict[tuple[type, str], Hooked] = {}

    def hook(self, model: type, names: Iterable[str], load: Load) -> None:
        """Have looks at these columns of a model noted while the load is there."""
        with self._lock:
            for name in names:
                owner = owner_of(model, name)
                key = owner, name
                known = self._hooked.get(key)
                if known is None:
                    known = self._hooked[key] = Hooked(Hook(vars(owner)[name], name), WeakSet())
                    type.__setattr__(owner, name, known.hook)
                known.loads.add(load)

    def tidy(self) -> None:
        """Take away the hooks of loads that are over."""
        with self._lock:
            for key, known in list(self._hooked.items()):
                if not known.loads:
                    self._unhook(key, known)

    def leave(self) -> None:
        """Take away all."""
        with self._lock:
            for key, known in list(self._hooked.items()):
                for load in list(known.loads):
                    load.forget()
                self._unhook(key, known)

    def renew(self) -> None:
        """A forked child begins: the lock may be held by a thread that it has not."""
        self._lock = Lock()

    def _unhook(self, key: tuple[type, str], known: Hooked) -> None:
        (owner, name), own = key, known.hook.own
        if vars(owner).get(name) is known.hook:
            type.__setattr__(owner, name, own)
        del self._hooked[key]


def owner_of(model: type, name: str) -> type:
    """The class that has a column's descriptor."""
    return next(each for each in model.__mro__ if name in vars(each))


def wide_of(objects: list[Any]) -> dict[str, int]:
    """The wide columns of these objects that can be watched, and the bytes of each."""
    model = type(objects[0])
    if any(type(each) is not model or is_shared(vars(each)) for each in objects):
        return {}
    names = [each.attname for each in model._meta.concrete_fields if not each.primary_key]
    sizes = {name: sum(size_of(vars(each).get(name)) for each in objects) for name in names}
    least = WIDE_BYTES * len(objects)
    return {name: size for name, size in sizes.items() if size >= least and can(model, name)}


def can(model: type, name: str) -> bool:
    """Whether the column's descriptor is Django's plain one, or stands behind a hook."""
    found = [vars(each)[name] for each in model.__mro__ if name in vars(each)][:1]
    return [type(each.own if type(each) is Hook else each) for each in found] == [DeferredAttribute]

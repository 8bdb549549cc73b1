"""Objects of a model, made of the values that its columns have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import pre_init

# What stands for a column in a class, where nothing else is done by setting it.
SIMPLE = frozenset({DeferredAttribute, ForeignKeyDeferredAttribute})


def made_of(model: Any, using: str, names: Any, row: Any) -> Any:
    """An object of its values, as `from_db` makes it, which sets each and asks for defaults."""
    if (pre_init.receivers and pre_init.has_listeners(model)) or not is_simple(model):
        return model.from_db(using, names, row)
    made = model.__new__(model)
    state: Any = ModelState()
    made._state = state
    state.adding, state.db = False, using
    vars(made).update(zip(names, row, strict=True))
    return made


@lru_cache(maxsize=1024)
def is_simple(model: Any) -> bool:
    """Whether to set the columns of an object of this model is to put them into its dictionary."""
    own = model.__setattr__ is not object.__setattr__ or model.__new__ is not object.__new__
    return not own and all(
        type(vars(each)[name]) in SIMPLE
        for name in names_of(model)
        for each in model.__mro__
        if name in vars(each)
    )


@lru_cache(maxsize=1024)
def names_of(model: Any) -> tuple[str, ...]:
    """The attributes of a model's columns."""
    return tuple(field.attname for field in model._meta.concrete_fields)

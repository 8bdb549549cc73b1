"""Putting the sources together: precedence, checks and provenance."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, get_origin

from msgspec import DecodeError, Struct, ValidationError, convert, json, structs

from apsperf_mw.errors import SettingError
from apsperf_mw.settings import sources
from apsperf_mw.settings.fields import Setting, catalogue, flatten
from apsperf_mw.settings.masking import HIDDEN, shown
from apsperf_mw.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsperf_mw.settings.sources import Given

Sources = Mapping[str, str]

_DRIVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


def load(
    code: Mapping[str, Any] | None = None,
    framework: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> tuple[Settings, Sources]:
    """The effective settings, and for each dotted path the source of its value.

    Code wins over environment, TOML file (in `directory`, else the working one), framework and
    default. Every value is checked, also one that another overrides; the first that is unknown or
    not accepted raises `SettingError`.
    """
    given = chain(
        sources.framework(framework or {}),
        sources.file(directory or ""),
        sources.variables(os.environ if environ is None else environ),
        sources.leaves(code or {}, "code"),
    )
    settings, found = _merged(given)
    return settings, {path: found.get(path, "default") for path in flatten(settings)}


def _merged(given: Iterable[Given]) -> tuple[Settings, Sources]:
    """The tree of the values given, later ones winning."""
    tree: dict[str, Any] = {}
    found: dict[str, str] = {}
    for each in given:
        value = _checked(each, _setting(each))
        *section, name = map(str, each.path)
        branch = tree.setdefault(section[0], {}) if section else tree
        branch[name] = value
        found[".".join((*section, name))] = each.source
    return _overlaid(Settings(), tree), found


def _overlaid(settings: Settings, tree: dict[str, Any]) -> Settings:
    for name, value in tree.items():
        old = getattr(settings, name)
        if isinstance(old, Struct):
            tree[name] = structs.replace(old, **value)
        elif isinstance(old, Mapping):
            tree[name] = {**old, **value}
    return structs.replace(settings, **tree)


@cache
def _by_path() -> dict[tuple[object, ...], Setting]:
    return {tuple(each.path.split(".")): each for each in catalogue()}


def _setting(given: Given) -> Setting:
    """The setting that a value is for."""
    path = given.path
    if len(path) == 2 and path[0] == "drivers" and isinstance(path[1], str):
        if not _DRIVER_NAME.fullmatch(path[1]):
            accepted = "names of lower-case letters, digits, - and _"
            raise sources.refusal("drivers", path[1], given.source, accepted)
        path = ("drivers",)
    elif path == ("drivers",) or path not in _by_path():
        raise _unknown(given)
    return _by_path()[path]


def _unknown(given: Given) -> SettingError:
    from difflib import get_close_matches

    if given.text:
        name, where = given.source, "the environment"
        known = {each.environment for each in catalogue()}
    else:
        name, where = ".".join(map(str, given.path)), given.source
        known = {each.path for each in catalogue()} | set(Settings.__struct_fields__)
    spelt = name.upper() if given.text else name.lower()
    # At most 80 characters: the comparison is quadratic, and the name may be anything.
    nearest = get_close_matches(spelt[:80], sorted(known), n=1, cutoff=0)[0]
    return SettingError(f"unknown setting {shown(name)} in {where}; the nearest is {nearest}")


def _checked(given: Given, setting: Setting) -> Any:
    """The value in the setting's own type."""
    try:
        # The order of a set differs from process to process, and with it the cache's keys.
        if isinstance(given.value, AbstractSet):
            raise TypeError
        value = _read(given.value, setting.kind) if given.text else given.value
        value = convert(value, setting.annotation)
    except (TypeError, ValueError, ValidationError, DecodeError):
        path = ".".join(map(str, given.path))
        value = HIDDEN if setting.secret else given.value
        raise sources.refusal(path, value, given.source, setting.accepts) from None
    return tuple(map(str.lower, value)) if setting.lower else value


def _read(text: str, kind: Any) -> Any:
    """The value that a string means; raises ValueError if it means none."""
    if kind is bool:
        return _BOOLEANS.get(text.lower(), text)
    if kind is int or kind is float:
        return kind(text)
    if get_origin(kind) is tuple:
        if text.lstrip().startswith("["):
            return json.decode(text)  # how tables are written in one line
        return tuple(filter(None, map(str.strip, text.split(","))))
    return text

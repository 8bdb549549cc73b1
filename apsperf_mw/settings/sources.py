"""Where settings come from; each source gives its values in one form, unchecked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from apsperf_mw.errors import SettingError
from apsperf_mw.settings.fields import PREFIX
from apsperf_mw.settings.masking import shown
from apsperf_mw.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike
    from pathlib import Path

OWN_FILE = "apsperf.toml"
SHARED_FILE = "pyproject.toml"
FRAMEWORK = "framework"
_ROOT = PREFIX.rstrip("_")
_OUR_NAME = re.compile(rb"apsperf(?![\w-])")
_SECTIONS = frozenset(Settings.__struct_fields__) - {"default"}


class Given(NamedTuple):
    """One value as a source gave it; `text` if it is to be read from a string."""

    path: tuple[object, ...]
    value: Any
    source: str
    text: bool = False


def refusal(name: str, value: object, source: str, accepted: str) -> SettingError:
    """The error that says what was given, by whom, and what is accepted."""
    return SettingError(f"{name}: got {shown(value)} from {source}; accepted: {accepted}")


def leaves(tree: object, source: str, section: tuple[object, ...] = ()) -> Iterator[Given]:
    """The values of a nested mapping."""
    if not isinstance(tree, Mapping):
        name = ".".join(map(str, section)) or "settings"
        raise refusal(name, tree, source, "a table")
    for key, value in tree.items():
        if not section and key in _SECTIONS:
            yield from leaves(value, source, (key,))
        else:
            yield Given((*section, key), value, source)


def variables(environ: Mapping[str, str]) -> Iterator[Given]:
    """The values of all variables that begin with `APSPERF_`."""
    for name in environ:
        if name.startswith(PREFIX):
            # A name in mixed case stays as it is, and so is found to be unknown.
            words = name[len(PREFIX) :].lower() if name.isupper() else name
            yield Given(tuple(words.split("__")), environ[name].strip(), name, text=True)


def file(directory: str | PathLike[str]) -> Iterator[Given]:
    """The values of `apsperf.toml`, or else of `[tool.apsperf]` in `pyproject.toml`."""
    from pathlib import Path

    own = Path(directory, OWN_FILE)
    data = _read(own)
    if data is not None:
        return leaves(_parsed(data, own), OWN_FILE)
    shared = Path(directory, SHARED_FILE)
    data = _read(shared)
    # Most of these files are not about us: spare the parser, and the user its complaints.
    if data is None or not _OUR_NAME.search(data):
        return iter(())
    tool = _parsed(data, shared).get("tool")
    return leaves(tool.get("apsperf", {}) if isinstance(tool, dict) else {}, SHARED_FILE)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The nested tree of a framework's flat settings; keys that are not ours are left out.

    `APSPERF_CACHE__DRIVER`, `APSPERF_CACHE = {"DRIVER": ...}` and `APSPERF = {"cache": ...}` mean
    the same, in either case of letters; a setting given twice is a `SettingError`.
    """
    named = ((str(key).upper(), value) for key, value in flat.items())
    ours = (
        (name.replace("_", "__", 1), value)
        for name, value in named
        if name == _ROOT or name.startswith(PREFIX)
    )
    tree = _grown(ours).get(_ROOT.lower(), {})
    if not isinstance(tree, dict):
        raise refusal(_ROOT, tree, FRAMEWORK, "a table")
    return tree


def framework(tree: Mapping[str, Any]) -> Iterator[Given]:
    """The values of a framework's settings, as `nest` gives them or nested by hand."""
    return leaves(_grown(tree.items()), FRAMEWORK)


def _grown(pairs: Iterable[tuple[object, Any]]) -> dict[str, Any]:
    """One tree of lower-case names, split at `__`."""
    tree: dict[str, Any] = {}
    for path, value in _paths(pairs, ()):
        branch: Any = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {}) if isinstance(branch, dict) else None
        if not isinstance(branch, dict) or path[-1] in branch:
            raise SettingError(f"{shown('.'.join(path))} is given twice by {FRAMEWORK}")
        branch[path[-1]] = value
    return tree


def _paths(
    pairs: Iterable[tuple[object, Any]], section: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in pairs:
        path = (*section, *str(key).lower().split("__"))
        if isinstance(value, Mapping):
            yield from _paths(value.items(), path)
        else:
            yield path, value


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror}") from error


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{path}: line {line} is not UTF-8") from error
    except RecursionError as error:
        raise SettingError(f"{path}: nested too deeply") from error
    except ValueError as error:
        last = data.count(b"\n") + 1
        reason = str(error).replace("end of document", f"end of document, line {last}")
        raise SettingError(f"{path}: {reason}") from error

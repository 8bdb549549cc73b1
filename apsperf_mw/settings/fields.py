"""What the settings tree says of itself: every setting, and the table made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct, json, structs

from apsperf_mw.settings.tree import Settings

PREFIX = "APSPERF_"


class Setting(Struct, frozen=True):
    """One setting; of the mapping `drivers`, `kind` and `accepts` describe a value."""

    path: str
    accepts: str
    default: Any
    description: str
    annotation: Any
    kind: Any
    lower: bool = False
    secret: bool = False

    @property
    def environment(self) -> str:
        """The name of the environment variable."""
        name = "__<NAME>" if isinstance(self.default, Mapping) else ""
        return f"{PREFIX}{self.path.upper().replace('.', '__')}{name}"


@cache
def catalogue() -> tuple[Setting, ...]:
    """Every setting, in the order of the tree."""
    return tuple(_settings(Settings, ""))


def flatten(settings: Settings) -> dict[str, object]:
    """The values by dotted path, in the order of the tree; each driver has a path of its own."""
    flat: dict[str, object] = {}
    for name, value in structs.asdict(settings).items():
        inner = structs.asdict(value) if isinstance(value, Struct) else value
        if isinstance(inner, Mapping):
            flat.update((f"{name}.{key}", leaf) for key, leaf in inner.items())
        else:
            flat[name] = inner
    return flat


def table() -> str:
    """The Markdown table of all settings."""
    lines = ["| Setting | Type | Default | Environment | Meaning |", "|---|---|---|---|---|"]
    for each in catalogue():
        default = "unset" if each.default is None else f"`{json.encode(each.default).decode()}`"
        cells = f"`{each.path}`", each.accepts, default, f"`{each.environment}`", each.description
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _settings(section: type[Struct], prefix: str) -> Iterator[Setting]:
    for field in structs.fields(section):
        kind, metas = _peeled(field.type)
        if isinstance(kind, type) and issubclass(kind, Struct):
            yield from _settings(kind, f"{prefix}{field.name}.")
            continue
        annotation = field.type
        if get_origin(kind) is Mapping:
            annotation = get_args(kind)[1]
            kind, inner = _peeled(annotation)
            metas = [*inner, *metas]
        yield Setting(
            path=prefix + field.name,
            accepts=_accepts(kind, metas),
            default=_default(field),
            description=next(meta.description for meta in metas if meta.description),
            annotation=annotation,
            kind=kind,
            lower=_marked(metas, "lower"),
            secret=_marked(metas, "secret"),
        )


def _marked(metas: list[Meta], name: str) -> bool:
    return any(meta.extra is not None and meta.extra.get(name) for meta in metas)


def _peeled(annotation: Any) -> tuple[Any, list[Meta]]:
    """The bare type within `Annotated` and `| None`, and every `Meta` on the way."""
    args = get_args(annotation)
    if get_origin(annotation) is Annotated:
        kind, metas = _peeled(args[0])
        return kind, [*metas, *args[1:]]
    if type(None) in args:
        return _peeled(args[0])
    return annotation, []


def _accepts(kind: Any, metas: list[Meta]) -> str:
    for meta in metas:
        if meta.title:
            return meta.title
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind is bool:
        return "true or false"
    low, high = next((meta.ge, meta.le) for meta in metas if meta.ge is not None)
    return f"{'integer' if kind is int else 'number'}, {low} to {high}"


def _default(field: structs.FieldInfo) -> Any:
    return field.default_factory() if field.default is NODEFAULT else field.default

"""What code reads of a request, told from the code itself without calling it.

Its own, and that of the functions and methods of its project that it speaks of. For adapters,
which know what their framework calls a request. Where it cannot be told it is taken for read: a
page too many that is not shared does no harm.
"""

from __future__ import annotations

from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from apsperf_mw.guards import layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Functions that are looked at for one callable, and how far they may be from it.
MOST_PARTS, FURTHEST = 256, 3
# Where a request's client or its like is read, and what it may be read of.
OWNERS = {"LOAD_ATTR": "request", "LOAD_METHOD": "request", "LOAD_CONST": "scope"}
# What helpers call a request.
REQUESTS = frozenset({"request", "req", "conn"})
# Fields and variables that tell a client's address or name.
ADDRESS = frozenset(
    {
        "remote-addr",
        "remote-user",
        "x-forwarded-for",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
    }
)
# Fields that say what somebody wants, or who passes it on, and not who may have it.
HARMLESS = frozenset(
    (
        *("accept", "accept-language", "accept-encoding", "accept-charset", "host", "user-agent"),
        *("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"),
        *("traceparent", "tracestate", "x-request-id", "content-type", "content-length", "range"),
    )
)
# Their code is known, and serves everybody.
FRAMEWORKS = frozenset(
    (
        *("django", "flask", "starlette", "fastapi", "werkzeug", "rest_framework", "ninja"),
        *("builtins", "functools", "contextlib", "typing", "apsperf_mw", "jinja2", "pydantic"),
    )
)
CALLED = ("__new__", "__init__", "__call__")


class Part(NamedTuple):
    """A piece of code, and the names that its module has."""

    code: CodeType
    known: dict[str, Any]


def parts(view: object, methods: Iterable[str] = ()) -> Iterator[Part]:
    """The code that a callable may run; of a class, what these methods of it may."""
    search = Search()
    for layer in layers(view):
        search.add(layer, 0)
    for kind in kinds_of(view):
        search.enter(kind, (*CALLED, *methods))
    return search.run()


def kinds_of(view: object) -> list[type]:
    """The classes that a callable is, is made of, or is an instance of."""
    found: list[type] = [view] if isinstance(view, type) else []
    for one in layers(view):
        for name in ("view_class", "cls"):
            kind = getattr(one, name, None)
            found += [kind] if isinstance(kind, type) else []
        if not isinstance(one, FunctionType) and callable(one):
            found.append(type(one))
    owner = getattr(view, "__self__", None) if isinstance(view, MethodType) else None
    if owner is not None:
        found.append(owner if isinstance(owner, type) else type(owner))
    return list(dict.fromkeys(found))


class Search:
    """Follows what code speaks of."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Part, int]] = []
        self._seen: set[int] = set()
        self._kinds: list[type] = []

    def enter(self, kind: type, methods: Iterable[str]) -> None:
        """These methods of a class, wherever its bases define them."""
        self._kinds.append(kind)
        for name in methods:
            self._add_method(kind, name, 0)

    def _add_method(self, kind: type, name: str, far: int) -> None:
        for base in kind.__mro__:
            if top_of(base.__module__) not in FRAMEWORKS and (found := vars(base).get(name)):
                for layer in layers(getattr(found, "fget", None) or _plain(found)):
                    self.add(layer, far)

    def add(self, layer: Any, far: int) -> None:
        """A function, and those that it defines itself."""
        code = getattr(layer, "__code__", None)
        if isinstance(code, CodeType):
            self._add_code(code, getattr(layer, "__globals__", {}), far)

    def _add_code(self, code: CodeType, known: dict[str, Any], far: int) -> None:
        if id(code) in self._seen:
            return
        self._seen.add(id(code))
        self._waiting.append((Part(code, known), far))
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                self._add_code(inner, known, far)

    def run(self) -> Iterator[Part]:
        """All of it, the nearest first."""
        at = 0
        while at < min(len(self._waiting), MOST_PARTS):
            part, far = self._waiting[at]
            at += 1
            yield part
            if far < FURTHEST:
                self._follow(part, far + 1)

    def _follow(self, part: Part, far: int) -> None:
        here = top_of(str(part.known.get("__name__", "")))
        for name in part.code.co_names:
            found = part.known.get(name)
            # A proxy would answer `isinstance` by what it stands for, and so use a session.
            if type(found) is FunctionType and top_of(found.__module__ or "") == here:
                for layer in layers(found):
                    self.add(layer, far)
            for kind in self._kinds:
                self._add_method(kind, name, far)


def _plain(found: Any) -> Any:
    """What a static or a class method has within."""
    return getattr(found, "__func__", found)


def top_of(module: str) -> str:
    """The package that a module is in."""
    return module.partition(".")[0]


def reads(view: object, names: frozenset[str]) -> str:
    """The attribute of these that a layer's own code speaks of, or an empty string."""
    for layer in layers(view):
        code = getattr(layer, "__code__", None)
        if code is not None and (found := names.intersection(code.co_names)):
            return min(found)
    return ""


def reads_of(
    view: object,
    name: str,
    attributes: frozenset[str],
    proxy: object = None,
    methods: Iterable[str] = (),
) -> str:
    """The attribute of these that code reads of this variable itself, or an empty string.

    `request.client` and `request.scope["client"]` count, `request.app.client` does not. A `proxy`
    stands for the variable by whatever name a module has imported it.
    """
    for part in parts(view, methods):
        names = {name, *REQUESTS} | names_of(proxy, part.known)
        if found := _read(part.code, names, attributes):
            return found
    return ""


def _read(code: CodeType, names: set[str], attributes: frozenset[str]) -> str:
    from dis import get_instructions

    before: Any = None
    earlier: Any = None
    for step in get_instructions(code):
        what, owner = step.argval, OWNERS.get(step.opname)
        of = earlier if before == "get" else before
        if owner and what in attributes and (of == owner or of in names):
            return str(what)
        if step.opname.startswith("STORE_") and before in names:
            names.add(what[0] if isinstance(what, tuple) else what)  # by another name
        last = what[-1] if isinstance(what, tuple) and what else what
        before, earlier = last, before
    return ""


def names_of(thing: object, known: dict[str, Any]) -> set[str]:
    """What a module calls a thing."""
    return set() if thing is None else {name for name, value in known.items() if value is thing}


def speaks_of(view: object, fields: frozenset[str], methods: Iterable[str] = ()) -> str:
    """The field or variable of a request that code names as a text, or an empty string."""
    for part in parts(view, methods):
        for one in part.code.co_consts:
            if isinstance(one, str) and field_of(one) in fields:
                return one
    return ""


def asks_for(view: object, name: str, proxy: object = None) -> str:
    """The field or the cookies by which code that stands before a view decides, or nothing.

    What it reads of a request's fields counts, but for those that are harmless.
    """
    for part in parts(view):
        names = {name, *REQUESTS} | names_of(proxy, part.known)
        if _read(part.code, set(names), frozenset({"cookies"})):
            return "cookies"
        for field in _fields_read(part.code, names):
            if field not in HARMLESS:
                return field
    return ""


def _fields_read(code: CodeType, names: set[str]) -> Iterator[str]:
    """The fields that it takes of a request's; `headers` where it cannot be told which."""
    from dis import get_instructions

    steps = list(get_instructions(code))
    for at, step in enumerate(steps):
        before = steps[at - 1].argval if at else None
        last = before[-1] if isinstance(before, tuple) and before else before
        if step.argval == "headers" and OWNERS.get(step.opname) == "request" and last in names:
            after = [each.argval for each in steps[at + 1 : at + 5] if each.opname == "LOAD_CONST"]
            texts = [each for each in after if isinstance(each, str)]
            yield field_of(texts[0]) if texts else "headers"


def only_looks(view: object) -> bool:
    """Whether what runs before a view can neither answer in its place nor refuse."""
    from dis import get_instructions

    for part in parts(view):
        steps = list(get_instructions(part.code))
        if any(step.opname == "RAISE_VARARGS" for step in steps):
            return False
    code = getattr(view, "__code__", None)
    steps = [] if code is None else list(get_instructions(code))
    ends = [at for at, step in enumerate(steps) if step.opname == "RETURN_VALUE"]
    nothing = all(at and steps[at - 1].opname == "LOAD_CONST" and steps[at - 1].argval is None
                  for at in ends)  # fmt: skip
    others = [step for step in steps if step.opname == "RETURN_CONST" and step.argval is not None]
    return bool(steps) and nothing and not others


def field_of(text: str) -> str:
    """A field's name as `fields` has it: `HTTP_X_REAL_IP` is `x-real-ip`."""
    return text.lower().replace("_", "-").removeprefix("http-")

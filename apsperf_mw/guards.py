"""What stands before a route and decides who may pass: read from its code, without calling it.

A hit is served in front of it, so a response that a guard has let out is shared with nobody, unless
its author says so. For adapters, which know where their framework keeps guards.
"""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Layers of decorators that are looked at; code that has more is taken for guarded.
MOST_LAYERS = 64
LISTS = frozenset({list, tuple})
# What servers and proxies say of a client's certificate that they have verified.
VERIFIED = ("SUCCESS", "GENEROUS")


def layers(view: object) -> Iterator[Any]:
    """The functions that a callable is made of: what it wraps, and what its closures hold."""
    waiting, seen = [view], set[int]()
    while waiting and len(seen) < MOST_LAYERS:
        one: Any = waiting.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, FunctionType) or (callable(one) and not hasattr(one, "__func__")):
            yield one
        waiting += _within(one)


def _within(one: Any) -> list[object]:
    """What is one layer down."""
    wrapped = getattr(one, "__wrapped__", None)
    found = [] if wrapped is None else [wrapped]
    if isinstance(one, list | tuple):
        return [*one]
    if isinstance(one, partial):
        return [*found, one.func, *one.args, *one.keywords.values()]
    if isinstance(one, MethodType):
        return [*found, one.__func__]
    if isinstance(one, FunctionType):
        return [*found, *(each for each in held(one) if callable(each) or type(each) in LISTS)]
    return [*found, type(one).__call__] if callable(one) else found


def held(layer: Any) -> list[Any]:
    """What a function has closed over."""
    found = []
    for cell in getattr(layer, "__closure__", None) or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not set yet
            continue
    return found


def package(layer: Any) -> str:
    """The package in which a function was written, whatever it wraps."""
    known = getattr(layer, "__globals__", None)
    name = known.get("__name__", "") if known is not None else type(layer).__module__
    return str(name)


def comes_from(view: object, names: Iterable[str]) -> str:
    """The package or module of these that a layer was written in, or an empty string."""
    wanted = tuple(names)
    for layer in layers(view):
        where = package(layer)
        for name in wanted:
            if where == name or where.startswith(f"{name}."):
                return name
    return ""


def certified(environ: Mapping[str, Any]) -> bool:
    """Whether a server says in a WSGI environ that the client has shown a certificate."""
    return environ.get("SSL_CLIENT_VERIFY") in VERIFIED or bool(
        environ.get("SSL_CLIENT_CERT") or environ.get("peercert")
    )


def certified_scope(scope: Mapping[str, Any]) -> bool:
    """The same of an ASGI scope (its TLS extension)."""
    extensions = scope.get("extensions")
    tls = extensions.get("tls") if extensions else None
    return bool(tls and (tls.get("client_cert_chain") or tls.get("client_cert_name")))

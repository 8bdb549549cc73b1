"""The GET operations of an OpenAPI 3 document that need no parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from msgspec import DecodeError, Raw, Struct, field, json

from apsperf_mw.cache.keys import LONGEST
from apsperf_mw.warm.sources import MOST_DOCUMENT_URLS, Document, SourceError, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ACCEPTED = "an OpenAPI 3 document in JSON"
PARAMETERS = "#/components/parameters/"
_VARIABLE = re.compile(r"\{([^{}]{1,100})\}")


class Variable(Struct):
    """A part of a server's URL."""

    default: str


class Server(Struct):
    """Where the paths are."""

    url: str
    variables: dict[str, Variable] = field(default_factory=dict)


class Parameter(Struct):
    """A parameter, or a reference to one."""

    ref: str | None = field(name="$ref", default=None)
    required: bool = False


class Operation(Struct):
    """What can be asked for; each of an empty `security` alternative needs no credentials."""

    parameters: list[Parameter] = field(default_factory=list)
    security: list[dict[str, Any]] | None = None
    servers: list[Server] = field(default_factory=list)


class PathItem(Struct):
    """One path with its methods."""

    get: Operation | None = None
    parameters: list[Parameter] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)


class Components(Struct):
    """What references lead to."""

    parameters: dict[str, Raw] = field(default_factory=dict)


class Description(Struct):
    """A document; its paths are read one by one, so that one that is wrong spoils no other."""

    openapi: str
    paths: dict[str, Raw] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    security: list[dict[str, Any]] | None = None
    components: Components = field(default_factory=Components)


def read_openapi(document: bytes) -> Document:
    """The URLs of the operations that anybody can ask for, as they stand in the document.

    Passes over those with a required parameter or with credentials, and paths that are not as
    OpenAPI has them.
    """
    try:
        described = json.decode(unpack(document), type=Description)
        if not described.openapi.startswith("3."):
            raise SourceError(f"accepted: {ACCEPTED}")
        return Document(list(_pages(described)), [])
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Document([], [], f"{error}; accepted: {ACCEPTED}")
    except SourceError as error:
        return Document([], [], str(error))


def _pages(described: Description) -> Iterator[str]:
    for path, raw in list(described.paths.items())[:MOST_DOCUMENT_URLS]:
        if not path.startswith("/") or "{" in path:
            continue
        try:
            item = json.decode(raw, type=PathItem)
            if item.get is not None and _is_open(item, item.get, described):
                yield _root(item.get.servers or item.servers or described.servers) + path
        except (DecodeError, ValueError, RecursionError):
            continue


def _is_open(item: PathItem, asked: Operation, described: Description) -> bool:
    security = described.security if asked.security is None else asked.security
    if security and all(security):
        return False
    known = described.components.parameters
    return not any(_is_required(one, known) for one in (*item.parameters, *asked.parameters))


def _is_required(parameter: Parameter, known: dict[str, Raw]) -> bool:
    """Whether one must give it; a reference that leads nowhere says nothing good."""
    if parameter.ref is None:
        return parameter.required
    raw = known.get(parameter.ref.removeprefix(PARAMETERS))
    if raw is None:
        return True
    try:
        found = json.decode(raw, type=Parameter)
    except (DecodeError, RecursionError):
        return True
    return found.required or found.ref is not None


def _root(servers: Sequence[Server]) -> str:
    """The URL under which the paths are, without its last slash; an empty string at the root."""
    if not servers:
        return ""
    server = servers[0]

    def value(found: re.Match[str]) -> str:
        variable = server.variables.get(found[1])
        return found[0] if variable is None else variable.default[:LONGEST]

    url = _VARIABLE.sub(value, server.url[:LONGEST])
    return urljoin("/", url[:LONGEST]).rstrip("/")

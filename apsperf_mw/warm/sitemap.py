"""Sitemaps and sitemap indices (sitemaps.org 0.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError, ParserCreate, errors

from apsperf_mw.cache.keys import LONGEST
from apsperf_mw.warm.sources import MOST_DOCUMENT_URLS, Document, SourceError, unpack

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

# More levels than these no sitemap has; the rest is not looked at.
MOST_DEPTH = 64


class _Stop(Exception):
    """Enough was read."""


class _Reader:
    """Collects what stands in `loc`, the child of a `url` or a `sitemap` of the same namespace."""

    def __init__(self) -> None:
        self.found = Document([], [])
        self._open: list[str] = []
        self._text: list[str] | None = None
        self._chars = 0

    def start(self, name: str, _: object) -> None:
        if len(self._open) >= MOST_DEPTH:
            raise _Stop("it is nested too deeply")
        self._open.append(name)
        space, local = name.rpartition(" ")[::2]
        parents = {_named(space, "url"), _named(space, "sitemap")}
        if local == "loc" and not parents.isdisjoint(self._open[-2:-1]):
            self._text, self._chars = [], 0

    def end(self, _: str) -> None:
        name = self._open.pop()
        if self._text is None or name.rpartition(" ")[2] != "loc":
            return
        text, self._text = "".join(self._text).strip(), None
        nested = self._open[-1].endswith("sitemap")
        if text:
            (self.found.nested if nested else self.found.pages).append(text)
        if len(self.found.pages) + len(self.found.nested) >= MOST_DOCUMENT_URLS:
            raise _Stop

    def text(self, data: str) -> None:
        if self._text is not None and self._chars <= LONGEST:
            self._text.append(data[: LONGEST + 1])  # enough to see that it is too long
            self._chars += len(data)

    def refuse(self, *_: object) -> None:
        raise _Stop("it has a document type, which a sitemap has not")


def read_sitemap(document: bytes) -> Document:
    """The pages and the further sitemaps that a sitemap names, plain or packed by gzip.

    What breaks off keeps what came before. Entities are never expanded: a document type, the
    only place that could define one, ends the reading.
    """
    reader = _Reader()
    try:
        _parser(reader).Parse(unpack(document), True)
    except (_Stop, SourceError) as stop:
        reader.found.fault = str(stop)
    except ExpatError as error:
        reader.found.fault = f"line {error.lineno}: {errors.messages[error.code]}"
    except (LookupError, ValueError) as error:
        reader.found.fault = str(error)
    return reader.found


def _parser(reader: _Reader) -> XMLParserType:
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    return parser


def _named(space: str, local: str) -> str:
    return f"{space} {local}" if space else local

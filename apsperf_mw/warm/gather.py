"""From the sources that a user names to the pages to ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.warm.openapi import read_openapi
from apsperf_mw.warm.origin import Refused
from apsperf_mw.warm.report import Result
from apsperf_mw.warm.sitemap import read_sitemap
from apsperf_mw.warm.sources import (
    MOST_DOCUMENT_BYTES,
    SourceError,
    lines_of,
    read_file,
    read_list,
    read_log,
)

if TYPE_CHECKING:
    from apsperf_mw.warm.report import Report
    from apsperf_mw.warm.run import Pages, Warming

MOST_DOCUMENTS = 1000


class Sources(Struct, frozen=True):
    """The values of the options; `openapi` is the document itself where the app made it."""

    urls: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    openapi: str | bytes | None = None
    top: int = 0


class Gathering(Struct):
    """Reads sources into pages; documents at a URL are asked for as pages are, of one origin."""

    pages: Pages
    warming: Warming
    report: Report

    async def take(self, sources: Sources) -> None:
        """Read all sources; `SourceError` names the option whose source cannot be read."""
        for name in sources.urls:
            self._lines("--urls", name, 0)
        for name in sources.sitemaps:
            await self._sitemaps(name)
        if sources.openapi is not None:
            await self._openapi(sources.openapi)
        for name in sources.logs:
            self._lines("--log", name, sources.top or self.pages.limit)

    def _lines(self, option: str, name: str, top: int) -> None:
        try:
            with lines_of(name) as lines:
                self.pages.add(read_log(lines, top) if top else read_list(lines))
        except SourceError as error:
            raise SourceError(f"{option}: {name}: {error}") from None

    async def _openapi(self, source: str | bytes) -> None:
        name = source if isinstance(source, str) else "the app's own"
        try:
            found = read_openapi(await self._read(source) if isinstance(source, str) else source)
        except SourceError as error:
            raise SourceError(f"--openapi: {name}: {error}") from None
        if found.fault:
            raise SourceError(f"--openapi: {name}: {found.fault}")
        self.pages.add(found.pages)

    async def _sitemaps(self, first: str) -> None:
        """A sitemap, and those that it names; the first must be readable, the others may fail."""
        try:
            waiting = self._sitemap(first, await self._read(first))
        except SourceError as error:
            raise SourceError(f"--sitemap: {first}: {error}") from None
        for target in waiting:
            if self.report.limited or len(waiting) > MOST_DOCUMENTS:
                self.report.limited = True
                return
            try:
                found = self._sitemap(target, await self._fetch(target))
            except SourceError as error:
                self.report.add(Result(target, "failed", "sitemap", str(error)))
            else:
                waiting += [each for each in found if each not in waiting]

    def _sitemap(self, name: str, document: bytes) -> list[str]:
        """Take a sitemap's pages; the targets of the further ones that it names."""
        found = read_sitemap(document)
        if found.fault and not (found.pages or found.nested):
            raise SourceError(found.fault)
        if found.fault:
            self.report.add(Result(name, "failed", "sitemap breaks off", found.fault))
        self.pages.add(found.pages)
        nested = map(self.pages.accept, found.nested[: MOST_DOCUMENTS + 1])
        return list(dict.fromkeys(filter(None, nested)))

    async def _read(self, name: str) -> bytes:
        """The bytes of a file, or of a document at a URL of the origin."""
        if not name.lower().startswith(("http://", "https://")):
            return read_file(name)
        try:
            return await self._fetch(self.warming.origin.target(name))
        except Refused as refusal:
            raise SourceError(f"{refusal}; accepted: a file, or a URL of --base") from None

    async def _fetch(self, target: str) -> bytes:
        try:
            _, answer = await self.warming.arrive(target, keep=MOST_DOCUMENT_BYTES + 1)
        except Refused as refusal:
            raise SourceError(f"redirect: {refusal}") from None
        except Exception as error:
            raise SourceError(f"{type(error).__name__}: {error}") from None
        if answer.status != 200:
            raise SourceError(f"status {answer.status}")
        return answer.body

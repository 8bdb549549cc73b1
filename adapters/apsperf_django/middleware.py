"""The middleware: the suite inside Django, sync and async with no thread hop on either side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from apsperf_django import get_suite
from apsperf_django.exchanges import Gates
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class SuiteMiddleware:
    """Put it first in `MIDDLEWARE`, so that a hit passes through nothing else."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        self._gates = Gates(get_suite(), is_async=self._is_async)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve a request: a response, or its awaitable where the chain is async."""
        return self._serve_async(request) if self._is_async else self._serve(request)

    def _serve(self, request: HttpRequest) -> HttpResponseBase:
        relay = self._gates.relay(request)
        try:
            entry = step(relay.find())
            if entry is not None:
                return relay.reply(entry)
            with relay.context():
                response: HttpResponseBase = self.get_response(request)
            step(relay.begin(response))
            step(relay.take(response))
        except BaseException as error:
            relay.fail(error)
            raise
        return response

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        relay = self._gates.relay(request)
        try:
            entry = await relay.find()
            if entry is not None:
                return relay.reply(entry)
            with relay.context():
                response: HttpResponseBase = await self.get_response(request)
            await relay.begin(response)
            await relay.take(response)
        except BaseException as error:
            relay.fail(error)
            raise
        return response

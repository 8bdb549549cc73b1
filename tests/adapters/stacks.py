"""One app, written as a function of the harness's requests, in six stacks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anyio import sleep_forever

from apsperf_mw import Suite
from apsperf_mw.testing.forms import PLAN_KEY, request_of_environ, request_of_scope
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient, is_whole
from apsperf_mw.testing.messages import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from apsperf_mw.testing.harness import App
    from apsperf_mw.testing.messages import Response

STACKS = ("asgi", "wsgi", "fastapi", "flask", "django-wsgi", "django-asgi")
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]


@contextmanager
def client_in(stack: str, app: App, **settings: Any) -> Iterator[Client]:
    """The app in a stack, with a suite of these settings of the cache round it."""
    if stack == "asgi":
        yield ASGIClient(Suite(cache=settings), app)
    elif stack == "wsgi":
        yield WSGIClient(Suite(cache=settings), app)
    elif stack == "fastapi":
        yield fastapi_client(app, settings)
    elif stack == "flask":
        yield flask_client(app, settings)
    else:
        with django_client(app, settings, is_async=stack == "django-asgi") as client:
            yield client


def fastapi_client(app: App, settings: dict[str, Any]) -> Client:
    from fastapi import FastAPI
    from fastapi import Request as Asked
    from fastapi.responses import Response as Whole
    from fastapi.responses import StreamingResponse
    from starlette.responses import Response as Answer

    from apsperf_fastapi import install

    site = FastAPI(openapi_url=None)
    client = ASGIClient(Suite(cache=settings), app)
    install(site, client.suite)

    async def view(asked: Asked) -> Answer:
        made = client.answer(await request_of_scope(asked.scope, asked.receive))
        made.fill(asked.scope["state"]["apsperf"])
        answer: Answer
        if is_whole(made.body):
            answer = Whole(b"".join(made.body), made.status)
        else:
            answer = StreamingResponse(chunks_of(made), made.status)
        answer.raw_headers += [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in made.headers
        ]
        return answer

    site.add_route("/{rest:path}", view, methods=METHODS)
    client.shell = site
    return client


def flask_client(app: App, settings: dict[str, Any]) -> Client:
    from flask import Flask, request
    from flask import Response as Answer

    from apsperf_flask import APSPerf

    site = Flask("attacked", static_folder=None)
    site.url_map.merge_slashes = False
    client = WSGIClient(APSPerf(cache=settings).init_app(site), app)

    def view(rest: str) -> Answer:
        made = client.answer(request_of_environ(request.environ))
        made.fill(request.environ[PLAN_KEY])
        return Answer(chunks_of(made), made.status, list(made.headers))

    for rule in ("/", "/<path:rest>"):
        defaults = {"rest": ""} if rule == "/" else None
        site.add_url_rule(rule, f"at {rule}", view, methods=METHODS, defaults=defaults)
    client.shell = site
    return client


@contextmanager
def django_client(app: App, settings: dict[str, Any], *, is_async: bool) -> Iterator[Client]:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.http.response import HttpResponseBase
    from django.urls import re_path

    from apsperf_django import get_suite
    from tests.adapters.django_site import project_with

    client: Any

    def view(asked: Any) -> HttpResponseBase:
        made = client.answer(request_of_environ(asked.META))
        made.fill(asked.apsperf)
        return django_answer(made, is_async=False)

    async def async_view(asked: Any) -> HttpResponseBase:
        fields = tuple(asked.headers.items())
        query = asked.scope["query_string"].decode("latin-1")
        target = asked.scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
        made = client.answer(Request(asked.method, target, fields, asked.body))
        made.fill(asked.apsperf)
        return django_answer(made, is_async=True)

    urls = (re_path(r"(?s).*", async_view if is_async else view),)
    with project_with(urls, APSPERF={"cache": settings}):
        if is_async:
            client = ASGIClient(get_suite(), app)
            client.shell = staying(ASGIHandler())
        else:
            client = WSGIClient(get_suite(), app)
            client.shell = WSGIHandler()
        yield client


def staying(app: Any) -> Any:
    """The app for a client who stays till the end; Django listens for those who leave."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        request = iter([await receive()])

        async def receive_once() -> Any:
            for message in request:
                return message
            return await sleep_forever()

        await app(scope, receive_once, send)

    return served


def django_answer(made: Response, *, is_async: bool) -> Any:
    from django.http import HttpResponse, StreamingHttpResponse

    answer: Any
    if is_whole(made.body):
        answer = HttpResponse(b"".join(made.body), status=made.status)
    else:
        body: Any = achunks_of(made) if is_async else chunks_of(made)
        answer = StreamingHttpResponse(body, status=made.status)
    for name, value in made.headers:
        if name.lower() == "set-cookie":
            answer.cookies.load(value)
        elif name.lower() == "content-type":
            answer[name] = value
        else:
            answer[name] = f"{answer[name]}, {value}" if name in answer else value
    return answer


def chunks_of(made: Response) -> Iterable[bytes]:
    """The body as frameworks take it; none of these waits for a gate."""
    if is_whole(made.body):
        return made.body
    return (part for part in made.body if isinstance(part, bytes))


async def achunks_of(made: Response) -> AsyncIterator[bytes]:
    for chunk in chunks_of(made):
        yield chunk

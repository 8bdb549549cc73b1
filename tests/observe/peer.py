"""The matrix of requests under OpenTelemetry's own middleware: prints what it tells, as JSON.

Run as a program of its own, `python -m tests.observe.peer asgi|wsgi`: it reads once for a process
which names it is to use.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib import import_module
from typing import Any

# Method and path; the app answers with the status that the path names.
MATRIX = (
    ("GET", "/200"),
    ("GET", "/404"),
    ("GET", "/503"),
    ("GET", "/302"),
    ("GET", "/error"),
    ("GET", "/stream"),
    ("HEAD", "/200"),
    ("POST", "/200"),
    ("OPTIONS", "/200"),
    ("DELETE", "/404"),
    ("BREW", "/200"),
)
QUERY = "token=s3cret"
AGENT = "curl/8"
# What the client and the app say beside what they must.
ASKED = {"x-tenant": "blue", "x-plan-a": "gold", "authorization": "Basic dTpw", "x-mine": "own"}
ANSWERED = (("content-language", "de"), ("set-cookie", "id=mini"), ("vary", "x-tenant"))


HEADERS = [(name.encode(), value.encode()) for name, value in ANSWERED]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    if path == "/error":
        raise KeyError("broken")
    status = int(path[1:]) if path[1:].isdigit() else 200
    chunks = 50 if path == "/stream" else 1
    await send({"type": "http.response.start", "status": status, "headers": HEADERS})
    for n in range(chunks):
        more = n < chunks - 1
        await send({"type": "http.response.body", "body": b"page", "more_body": more})


def wsgi_app(environ: Any, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    if path == "/error":
        raise KeyError("broken")
    status = path[1:] if path[1:].isdigit() else "200"
    start_response(f"{status} Said", list(ANSWERED))
    return iter([b"page"] * 50) if path == "/stream" else [b"page"]


def ask_asgi(app: Any, method: str, path: str) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": QUERY.encode(),
        "headers": [
            (b"host", b"shop.test:8080"),
            (b"user-agent", AGENT.encode()),
            *((name.encode(), value.encode()) for name, value in ASKED.items()),
        ],
        "client": ("192.0.2.1", 50000),
        "server": ("10.0.0.1", 8000),
    }

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        """Take it."""

    try:
        asyncio.run(app(scope, receive, send))
    except KeyError:
        """As the app has it."""


def ask_wsgi(app: Any, method: str, path: str) -> None:
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": QUERY,
        "SERVER_NAME": "10.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "shop.test:8080",
        "HTTP_USER_AGENT": AGENT,
        "wsgi.url_scheme": "http",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in ASKED.items()},
    }
    try:
        body = app(environ, lambda status, headers, exc_info=None: lambda chunk: None)
        for _ in body:
            """Read it."""
        if hasattr(body, "close"):
            body.close()
    except KeyError:
        """As the app has it."""


def told(spans: Any, metrics: Any) -> dict[str, Any]:
    """Spans and metric points in a form that can be compared."""
    return {
        "spans": [
            {
                "kind": span.kind.name,
                "name": span.name,
                "status": span.status.status_code.name,
                "attributes": dict(span.attributes or {}),
            }
            for span in spans
        ],
        "metrics": {
            metric.name: [
                [dict(point.attributes), getattr(point, "count", None)]
                for point in metric.data.data_points
            ]
            for resource in metrics.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        },
    }


def main(shell: str) -> None:
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, reader = InMemorySpanExporter(), InMemoryMetricReader()
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(kept))
    given: dict[str, Any] = {
        "tracer_provider": traces,
        "meter_provider": MeterProvider([reader]),
    }
    bare, ask = (asgi_app, ask_asgi) if shell == "asgi" else (wsgi_app, ask_wsgi)
    middleware: Any = import_module(f"opentelemetry.instrumentation.{shell}")
    app = middleware.OpenTelemetryMiddleware(bare, **given)
    for method, path in MATRIX:
        ask(app, method, path)
    sys.stdout.write(json.dumps(told(kept.get_finished_spans(), reader.get_metrics_data())))


if __name__ == "__main__":
    main(sys.argv[1])

"""One arm of `benchmarks.peers`, in a process of its own: it is told a case, and says its time."""

# Django and the peers come without types.
# pyright: reportAttributeAccessIssue=false, reportIndexIssue=false, reportCallIssue=false

from __future__ import annotations

import json
import sys
from functools import partial
from importlib import import_module
from itertools import count
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Given = Mapping[str, Any]
    # By case: what makes one slice, and gives its microseconds for each query.
    Cases = dict[str, Callable[[], float]]

ROWS = 50_000
SLICES = {"get": 200, "ten": 50, "aggregate": 20, "miss": 200, "key": 500}
CASES = {"django": ("get", "ten", "aggregate", "miss"), "sqlalchemy": ("key",)}
MOST_TOLD = 240
PEER = "opentelemetry.instrumentation."


class Refused(Exception):
    """Why an arm cannot be had."""


def main(arguments: list[str]) -> int:
    """Say what refuses, or the time of each case that is asked for."""
    kind, name, given = arguments[0], arguments[1], json.loads(arguments[2])
    try:
        made = (DJANGO if kind == "django" else SQLALCHEMY)[name](given)
    except Exception as fault:
        reason = str(fault) if isinstance(fault, Refused) else f"{type(fault).__name__}: {fault}"
        tell(refused=reason.replace("\n", " ")[:MOST_TOLD])
        return 0
    tell(ready=True)
    for line in sys.stdin:
        tell(us=made[line.strip()]())
    return 0


def tell(**said: object) -> None:
    """A line for who asks."""
    print(json.dumps(said), flush=True)


def sliced(case: str, run: Callable[[], object]) -> float:
    """Microseconds of one of a slice's queries."""
    clock = perf_counter if case == "aggregate" else thread_time
    began = clock()
    for _ in range(SLICES[case]):
        run()
    return (clock() - began) / SLICES[case] * 1e6


def django_cases(given: Given, *apps: str, kept: bool = True, **more: Any) -> Cases:
    """The cases on the rows of one database, for these apps and settings."""
    import django
    from django.apps import AppConfig
    from django.conf import settings

    databases = {
        "sqlite": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{given['place']}/rows.sqlite",
        },
        "postgresql": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "apsperf",
            "HOST": "127.0.0.1",
            "PORT": given["port"],
        },
    }
    default = {"default": databases[given["database"]]}
    installed: list[Any] = [AppConfig("benchmarks", import_module("benchmarks")), *apps]
    settings.configure(INSTALLED_APPS=installed, DATABASES=default, USE_TZ=False, **more)
    django.setup()
    if "apsperf_django" in apps:
        import_module("apsperf_django").get_suite()
    thing = model()
    fill(thing)
    from django.db.models import Max

    others = count(100)

    def objects() -> Any:
        return thing.objects.cached("long") if "apsperf_django" in apps else thing.objects

    runs: dict[str, Callable[[], object]] = {
        "get": lambda: objects().get(pk=7),
        "ten": lambda: list(objects().filter(id__lt=11)),
        "aggregate": lambda: objects().aggregate(m=Max("name")),
        "miss": lambda: objects().get(pk=next(others)),
    }
    for name in ("get", "ten", "aggregate"):
        prove(name, runs[name], kept=kept)
    return {name: partial(sliced, name, run) for name, run in runs.items()}


def prove(name: str, run: Callable[[], object], *, kept: bool) -> None:
    """Fail where the second query goes to the database although it should not, or the reverse."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    first = run()
    with CaptureQueriesContext(connection) as sent:
        again = run()
    if again != first or bool(len(sent)) is kept:
        raise Refused(f"{name} sends {len(sent)} queries")


def model() -> Any:
    """A table."""
    from django.db import models

    meta = type("Meta", (), {"app_label": "benchmarks", "db_table": "thing"})
    columns = {"name": models.CharField(max_length=40), "number": models.IntegerField()}
    return type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta, **columns})


def fill(thing: Any) -> None:
    """Make it and fill it, where no other arm has."""
    from django.db import connection

    if "thing" in connection.introspection.table_names():
        return
    with connection.schema_editor() as editor:
        editor.create_model(thing)
    thing.objects.bulk_create(
        [thing(id=n, name=f"thing {n}", number=n % 97) for n in range(1, ROWS)], batch_size=5000
    )


def bare_django(given: Given) -> Cases:
    """Nothing but Django."""
    return django_cases(given, kept=False)


def our_django(given: Given) -> Cases:
    """Our rows, in the process."""
    return django_cases(given, "apsperf_django", APSPERF={"exporter": {"kind": "none"}})


def cachalot(given: Given, backend: str) -> Cases:
    """Cachalot with one of Django's caches."""
    locations = {"LocMemCache": "peers", "RedisCache": redis_of(given, 1)}
    cache = {
        "BACKEND": f"django.core.cache.backends.{backends(backend)}.{backend}",
        "LOCATION": locations[backend],
        "OPTIONS": {"MAX_ENTRIES": 10 * ROWS} if backend == "LocMemCache" else {},
    }
    return django_cases(given, "cachalot", CACHES={"default": cache})


def backends(backend: str) -> str:
    """The module of one."""
    return {"LocMemCache": "locmem", "RedisCache": "redis"}[backend]


def cacheops(given: Given) -> Cases:
    """Cacheops, which keeps all in Redis."""
    profile = {"*.*": {"ops": "all", "timeout": 3600}}
    url = redis_of(given, 3)
    return django_cases(given, "cacheops", CACHEOPS_REDIS=url, CACHEOPS=profile)


def redis_of(given: Given, number: int) -> str:
    """A part of Redis for one arm and database: what it keeps for one would answer the other."""
    return f"{given['redis']}/{number + (given['database'] == 'sqlite')}"


DJANGO: dict[str, Callable[[Given], Cases]] = {
    "bare": bare_django,
    "apsperf-mw": our_django,
    "cachalot, in the process": partial(cachalot, backend="LocMemCache"),
    "cachalot, Redis": partial(cachalot, backend="RedisCache"),
    "cacheops, Redis": cacheops,
}


def engine_of(given: Given, **more: Any) -> Any:
    """An engine of the database, with some rows."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    if given["database"] == "sqlite":
        return create_engine("sqlite://", poolclass=StaticPool, **more)
    port = given["port"]
    return create_engine(f"postgresql+psycopg://apsperf@127.0.0.1:{port}/postgres", **more)


def sql_cases(engine: Any, around: Any = None, **options: Any) -> Cases:
    """A select by key, in slices of one transaction each; `around` stands round each slice."""
    from contextlib import nullcontext

    from benchmarks.rows import by_key, fill

    fill(engine)
    query, connection = by_key(5).execution_options(**options), engine.connect()

    def run() -> float:
        with nullcontext() if around is None else around():
            took = sliced("key", lambda: connection.execute(query).all())
        connection.rollback()
        return took

    run()
    return {"key": run}


def our_engine(given: Given, **options: Any) -> Cases:
    """Attached to a suite."""
    from apsperf_mw import Suite

    suite = Suite(cache={"purge_file": "none"}, exporter={"kind": "none"})
    engine = engine_of(given)
    suite.database().attach(engine)
    return sql_cases(engine, **options)


def queryspy(given: Given, *, stacks: bool) -> Cases:
    """Queryspy's recorder, with the app's lines or without."""
    record = import_module("queryspy").record
    return sql_cases(engine_of(given), partial(record, capture_stacks=stacks))


def otel_sqlalchemy(given: Given, *, unchecked: bool, sampled: bool = True) -> Cases:
    """OpenTelemetry on the engine, as its own check of versions has it or without that."""
    instrumentor = import_module(f"{PEER}sqlalchemy").SQLAlchemyInstrumentor()
    conflict = instrumentor._check_dependency_conflicts()
    if conflict is not None and not unchecked:
        raise Refused(str(conflict))
    engine = engine_of(given)
    provider = tracers(sampled=sampled)
    instrumentor.instrument(engine=engine, tracer_provider=provider, skip_dep_check=unchecked)
    return sql_cases(engine)


def otel_driver(given: Given, *, sampled: bool) -> Cases:
    """OpenTelemetry on the driver: its own for psycopg, the general one for sqlite3."""
    provider = tracers(sampled=sampled)
    if given["database"] == "postgresql":
        instrumentor = import_module(f"{PEER}psycopg").PsycopgInstrumentor()
        conflict = instrumentor._check_dependency_conflicts()
        if conflict is not None:
            raise Refused(str(conflict))
        instrumentor.instrument(tracer_provider=provider)
        return sql_cases(engine_of(given))
    import sqlite3

    wrap = import_module(f"{PEER}dbapi").instrument_connection
    kept = sqlite3.connect(":memory:", check_same_thread=False)
    wrapped = wrap(__name__, kept, "sqlite", tracer_provider=provider)
    return sql_cases(engine_of(given, creator=lambda: wrapped))


def tracers(*, sampled: bool) -> Any:
    """A provider that makes a span of each statement, or of none; a thread takes them away."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    class Away(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            self.clear()
            return super().export(spans[:0])

    provider = TracerProvider(ALWAYS_ON if sampled else ALWAYS_OFF)
    provider.add_span_processor(BatchSpanProcessor(Away()))
    return provider


SQLALCHEMY: dict[str, Callable[[Given], Cases]] = {
    "bare": lambda given: sql_cases(engine_of(given)),
    "apsperf-mw, counted": our_engine,
    "apsperf-mw, kept": partial(our_engine, apsperf_cache="long"),
    "queryspy, with stacks": partial(queryspy, stacks=True),
    "queryspy, without": partial(queryspy, stacks=False),
    "OTel SQLAlchemy": partial(otel_sqlalchemy, unchecked=False),
    "OTel SQLAlchemy, unchecked": partial(otel_sqlalchemy, unchecked=True),
    "OTel SQLAlchemy, unchecked, unsampled": partial(
        otel_sqlalchemy, unchecked=True, sampled=False
    ),
    "OTel psycopg or dbapi": partial(otel_driver, sampled=True),
    "OTel psycopg or dbapi, unsampled": partial(otel_driver, sampled=False),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Log lines of what is slow or wrong: one each, safe to be written, and not too many."""

from __future__ import annotations

import json
import logging
from time import sleep
from typing import TYPE_CHECKING, Any

import opentelemetry._logs  # noqa: F401 - a program that logs through it has loaded it
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from apsperf_mw import Suite
from apsperf_mw.observe.channels import Channels
from apsperf_mw.observe.lines import MOST_CAUSES, MOST_PER_S, MOST_TEXT, Quiet, event, line, safe
from apsperf_mw.observe.record import REPEATS, Costs, Finished
from apsperf_mw.settings import LoggingSettings
from apsperf_mw.testing.messages import Request, Response
from tests.observe.support import page, traceparent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apsperf_mw.testing.harness import Client

    Wrap = Callable[..., Client]


SHAPE = "SELECT * FROM a WHERE b = ?"


def finished(route: str = "/items/{id}", duration_s: float = 2.0, **more: Any) -> Finished:
    raw = ("GET", "http", route, 200, "1.1", "", "miss")
    return Finished(raw, duration_s, 0.1, **more)


def channels(**settings: Any) -> Channels:
    return Channels(LoggingSettings(**settings))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """What was written so far: logger and message."""
    caplog.set_level(logging.DEBUG)
    return lambda: [(each.name, each.getMessage()) for each in caplog.records]


def test_a_slow_request_is_told_of_with_where_its_time_went(
    caplog: pytest.LogCaptureFixture,
) -> None:
    costs = Costs(database_s=1.5, cpu_s=0.25)
    channels().watch([finished(costs=costs, trace_id=10, span_id=11), finished("/quick", 0.2)])
    (record,) = caplog.records
    assert record.name == "apsperf.performance"
    assert record.levelname == "WARNING"
    assert record.getMessage() == "slow request: GET /items/{id} took 2.000 s (status 200)"
    facts = vars(record)["apsperf"]
    assert facts["event"] == "slow_request"
    assert facts["duration_s"] == 2.0
    assert facts["database_s"] == 1.5
    assert facts["cpu_s"] == 0.25
    assert vars(record)["trace_id"] == f"{10:032x}"
    assert vars(record)["span_id"] == f"{11:016x}"


def test_a_shape_that_is_asked_again_and_again_is_told_of(lines: Any) -> None:
    shapes = {SHAPE: REPEATS, "SELECT 1": REPEATS - 1}
    channels().watch([finished(duration_s=0.01, costs=Costs(shapes=shapes))])
    (told,) = lines()
    assert told == (
        "apsperf.database",
        f"N+1: /items/{{id}} sent {REPEATS} statements of one shape in a request: {SHAPE}",
    )


def test_slow_queries_by_the_settings(lines: Any) -> None:
    channels().slow_query("SELECT 1", 0.6)
    channels().slow_query("SELECT 2", 0.5)
    channels(log_slow_queries=False).slow_query("SELECT 3", 60.0)
    channels(slow_query_s=0.1).slow_query("SELECT 4", 0.2)
    assert [text for _, text in lines()] == [
        "slow query: 0.600 s: SELECT 1",
        "slow query: 0.200 s: SELECT 4",
    ]


def test_memory_has_a_channel(lines: Any) -> None:
    told = channels()
    told.leak("/leaky", 1024.4, "in 5 of 5 windows")
    told.shed(900, 1000, 64)
    assert lines() == [
        (
            "apsperf.memory",
            "memory leak suspected: /leaky: 1024 bytes a request: in 5 of 5 windows",
        ),
        ("apsperf.memory", "short of memory: 900 of 1000 bytes; freed 64 of cache"),
    ]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"enabled": False}, 0),
        ({"channels": ("memory",)}, 0),
        ({"threshold": "error"}, 0),
        ({"threshold": "debug"}, 1),
        ({"slow_request_s": 3.0}, 0),
        ({"slow_request_s": 0.0}, 0),
    ],
)
def test_what_is_written_by_the_settings(lines: Any, settings: Any, count: int) -> None:
    channels(**settings).watch([finished()])
    assert len(lines()) == count


def test_one_json_object_a_line(lines: Any) -> None:
    told = channels(json=True)
    told.watch([finished("/a\nb", trace_id=1, span_id=2)])
    ((_, text),) = lines()
    assert "\n" not in text
    fields = json.loads(text)
    assert fields["event"] == "slow_request"
    assert fields["route"] == "/a\\nb"
    assert fields["trace_id"] == f"{1:032x}"


def test_one_line_of_a_cause_in_an_interval_and_then_how_many_were_kept_back() -> None:
    quiet = Quiet(60.0)
    assert [quiet.admits("a", now) for now in (0.0, 1.0, 59.9, 60.0, 61.0)] == [
        0,
        None,
        None,
        2,
        None,
    ]
    assert quiet.admits("b", 61.5) == 0
    told = event("memory", "leak", "{route}", {"route": "/a"})
    assert line(told, 2, as_json=False) == "/a (and 2 more like it)"
    assert json.loads(line(told, 2, as_json=True))["repeats"] == 2


def test_a_flood_of_causes_is_bounded() -> None:
    quiet = Quiet(60.0)
    written = [quiet.admits(str(n), 5.0) for n in range(10 * MOST_CAUSES)]
    assert sum(each is not None for each in written) == MOST_PER_S
    assert len(quiet._causes) == MOST_CAUSES


hostile = st.text(
    st.characters() | st.sampled_from("\n\r\x1b\x85\u2028\u2029\u202e\u2066\x00"), max_size=400
)


@given(hostile, hostile)
def test_a_line_is_one_line_of_printable_text(route: str, cause: str) -> None:
    told = event("memory", "leak", "{route} in {place}", {"route": route, "place": cause})
    for as_json in (False, True):
        text = line(told, 0, as_json=as_json)
        assert text.isprintable()
        assert len(text.splitlines()) <= 1
    assert json.loads(line(told, 0, as_json=True))["route"] == safe(route)


@given(hostile)
def test_safe_text_is_short(text: str) -> None:
    assert len(safe(text)) <= 10 * MOST_TEXT
    assert safe(text).isprintable()


def test_a_slow_request_is_told_of_end_to_end(wrap: Wrap, lines: Any) -> None:
    def app(_: Request) -> Response:
        sleep(0.03)
        return page()

    client = wrap(app, logging={"slow_request_s": 0.02})
    client.ask("/items/5?token=s3cret", {"Cookie": "a=s3cret", "traceparent": traceparent()})
    assert client.suite.flush(20)
    ((_, text),) = [each for each in lines() if each[0] == "apsperf.performance"]
    assert text.startswith("slow request: GET /items/{id} took 0.0")
    assert "s3cret" not in str(lines())


def test_a_fault_of_the_store_is_told_of_on_the_caches_channel(lines: Any) -> None:
    suite = Suite()
    for _ in range(3):
        suite.faults.note("the cache's store", OSError("disk"))
    suite.faults.note("the export of spans", OSError("net"))
    assert [name for name, _ in lines()] == ["apsperf.cache", "apsperf"]
    assert suite.faults.counts["the cache's store"] == 3
    suite.close()


def test_a_handler_that_logs_through_us_does_not_loop() -> None:
    told = channels()
    seen: list[str] = []

    class Echo(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            told.leak(f"/again/{len(seen)}", 1.0, "")

    logger, echo = logging.getLogger("apsperf.memory"), Echo()
    logger.addHandler(echo)
    try:
        told.leak("/once", 1.0, "")
    finally:
        logger.removeHandler(echo)
    assert len(seen) == 1


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The records that come out of the program's logger provider."""
    records: list[Any] = []

    class Keep:
        def export(self, batch: Any) -> Any:
            records.extend(each.log_record for each in batch)

        def shutdown(self) -> None:
            """Nothing to release."""

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(Keep()))  # type: ignore[arg-type]
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", provider)
    yield records
    provider.shutdown()


def test_a_line_is_a_log_record_too_where_the_program_has_a_provider(kept: list[Any]) -> None:
    channels().watch([finished(trace_id=10, span_id=11)])
    (record,) = kept
    assert record.body == "slow request: GET /items/{id} took 2.000 s (status 200)"
    assert record.severity_text == "WARNING"
    assert record.attributes["apsperf.route"] == "/items/{id}"
    assert (record.trace_id, record.span_id) == (10, 11)


def test_a_line_is_one_record_where_a_handler_makes_one(kept: list[Any]) -> None:
    class LoggingHandler(logging.Handler):
        """As OpenTelemetry's, by its name."""

        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    handler = LoggingHandler()
    logging.getLogger().addHandler(handler)
    try:
        channels().watch([finished()])
    finally:
        logging.getLogger().removeHandler(handler)
    assert len(kept) == 1

"""Metrics for a scraper: of one process, and of all workers of a host."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_families,
)
from prometheus_client.parser import text_string_to_metric_families as plain_families

from apsperf_mw import Suite
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.lines import safe
from apsperf_mw.ops.families import Family, Sample, merged, named
from apsperf_mw.ops.workers import DEAD, Workers, lives, me
from tests.observe.support import make_client, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from apsperf_mw.testing.harness import Client

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

ON = {"enabled": True}
TOKEN = "0123456789abcdef-scraper"
PROMTOOL = shutil.which("promtool")


@pytest.fixture(params=["asgi", "wsgi"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def clients() -> Any:
    """Makes clients whose suites are closed at the end."""
    made: list[Client] = []

    def client(shell: str, **settings: Any) -> Client:
        settings.setdefault("prometheus", ON)
        made.append(make_client(shell, plain, Suite(**settings)))
        return made[-1]

    yield client
    for each in made:
        each.suite.close()


def scraped(client: Client, **headers: str) -> str:
    reply = client.ask("/-/metrics", headers)
    assert reply.status == 200
    return reply.body.decode()


def values(text: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples of this name, by their labels."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in plain_families(text)
        for sample in family.samples
        if sample.name == name
    }


COUNT = "http_server_request_duration_seconds_count"


def test_by_default_the_path_is_the_apps(shell: str, clients: Any) -> None:
    client = clients(shell, prometheus={"enabled": False})
    assert client.ask("/-/metrics").body == b"page"


def test_what_is_counted_is_served_at_once(shell: str, clients: Any) -> None:
    client = clients(shell)
    for number in (1, 2):
        client.ask("/items/5")
        (count,) = values(scraped(client), COUNT).values()
        assert count == number
    ((labels, _),) = values(scraped(client), COUNT).items()
    assert dict(labels) == {
        "http_request_method": "GET",
        "http_response_status_code": "200",
        "http_route": "/items/{id}",
        "network_protocol_version": "1.1",
        "url_scheme": "http",
    }
    buckets = values(scraped(client), "http_server_request_duration_seconds_bucket")
    assert max(buckets.values()) == 2
    assert ("le", "+Inf") in list(buckets)[-1]


def test_all_parse_and_have_help(shell: str, clients: Any) -> None:
    client = clients(shell)
    client.ask()
    text = scraped(client)
    found = list(plain_families(text))
    assert len(found) > 15
    assert all(each.documentation for each in found)
    assert {each.type for each in found} <= {"counter", "gauge", "histogram"}


def test_who_asks_for_openmetrics_gets_exemplars(shell: str, clients: Any) -> None:
    client = clients(shell, exporter={"kind": "memory"}, tracing={"sample_ratio": 1.0})
    client.ask()
    assert client.suite.flush(20)
    memory = client.suite.exporter.memory
    text = scraped(client, Accept="application/openmetrics-text; version=1.0.0")
    shown = [
        sample.exemplar
        for family in open_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    ]
    (span,) = memory.spans
    assert [each.labels["trace_id"] for each in shown] == [f"{span.context.trace_id:032x}"]


def test_a_token_keeps_the_numbers_from_others(shell: str, clients: Any) -> None:
    client = clients(shell, prometheus={**ON, "token": TOKEN, "path": "/metrics"})
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        assert client.ask("/metrics", headers).body == b"page"
    reply = client.ask("/metrics", {"Authorization": f"Bearer {TOKEN}"})
    assert COUNT.encode() in reply.body
    assert client.suite.faults.counts["a scrape without the token"] == 3


def test_other_methods_and_many_scrapers(shell: str, clients: Any) -> None:
    client = clients(shell)
    assert client.ask("/-/metrics", method="POST").status == 405
    assert client.ask("/-/metrics", method="HEAD").body == b""
    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(lambda _: scraped(client), range(40)))
    assert all(text.startswith("# HELP") for text in texts)


def test_hostile_routes_are_escaped(clients: Any) -> None:
    client = clients("wsgi")
    data: list[Any] = []
    hostile = 'a"b\\c\nd\x1b'
    client.suite.exporter.requests.results.at(1, lambda: {"http.route": hostile}).value[0] += 1
    data.append(scraped(client))
    (labels,) = [key for key in values(data[0], "apsperf_cache_requests_total") if key]
    assert dict(labels)["http_route"] == hostile
    assert safe(hostile) != hostile


def test_without_the_package_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apsperf_mw.ops.fronts.find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"prometheus.enabled.*apsperf-mw\[prometheus\]"):
        Suite(prometheus=ON)


def test_a_users_meters_and_a_scraper_both_get_all(
    shell: str, clients: Any, monkeypatch: Any
) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", provider)
    client = clients(shell)
    client.ask()
    assert list(values(scraped(client), COUNT).values()) == [1]
    told = reader.get_metrics_data()
    assert told is not None
    names = [m.name for r in told.resource_metrics for s in r.scope_metrics for m in s.metrics]
    assert "http.server.request.duration" in names
    provider.shutdown()


@pytest.mark.parametrize(
    ("name", "unit", "shape", "told"),
    [
        ("http.server.request.duration", "s", "histogram", "http_server_request_duration_seconds"),
        ("process.cpu.utilization", "1", "gauge", "process_cpu_utilization_ratio"),
        ("a.share", "1", "counter", "a_share"),
        ("process.memory.usage", "By", "gauge", "process_memory_usage_bytes"),
        ("http.server.active_requests", "{request}", "gauge", "http_server_active_requests"),
        ("process.thread.count", "{thread}", "gauge", "process_threads"),
        ("9.lives", "ms", "gauge", "_9_lives_ms"),
    ],
)
def test_names_by_the_compatibility_rules(name: str, unit: str, shape: str, told: str) -> None:
    assert named(name, unit, shape)[0] == told


@pytest.mark.skipif(PROMTOOL is None, reason="Prometheus's own tools come with its package")
def test_promtool_finds_nothing_to_complain_of(clients: Any) -> None:
    client = clients("wsgi", tracing={"sample_ratio": 1.0})
    for method in ("GET", "POST"):
        client.ask("/items/5", method=method, body=b"x" * (method == "POST"))
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"],
        input=scraped(client),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def counter(name: str, value: float, **labels: str) -> Family:
    return Family(name, "", "", "counter", [Sample("_total", tuple(labels.items()), value)])


def test_what_counts_adds_up_and_the_rest_bears_the_workers_name() -> None:
    gauge = Family("g", "", "", "gauge", [Sample("", (), 5.0)], adds_up=False)
    told = merged(
        [("1", [counter("a", 1.0, x="y"), gauge]), ("2", [counter("a", 2.0, x="y"), gauge])]
    )
    assert [(each.name, [(s.labels, s.value) for s in each.samples]) for each in told] == [
        ("a", [((("x", "y"),), 3.0)]),
        ("g", [((("worker", "1"),), 5.0), ((("worker", "2"),), 5.0)]),
    ]


def totals(workers: Workers, *mine: Family) -> float:
    told = workers.all(list(mine))
    return sum(sample.value for each in told if each.name == "a" for sample in each.samples)


def in_child(run: Callable[[], None]) -> int:
    """Run in a forked child that ends at once, as if it were killed."""
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_the_counts_of_dead_workers_stay_and_their_files_go(tmp_path: Path) -> None:
    workers = Workers(str(tmp_path))
    workers.tell([counter("a", 1.0)])
    for _ in range(3):
        in_child(lambda: workers.tell([counter("a", 10.0)]))
    (tmp_path / ".1-1.apsperf.1.1").touch()  # one that was killed while it wrote
    assert totals(workers, counter("a", 1.0)) == 31.0
    assert totals(workers, counter("a", 2.0)) == 32.0  # not what was told before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".lock",
        f"{me()}.apsperf",
        DEAD,
    ]


def test_files_that_are_put_away_twice_count_once(tmp_path: Path) -> None:
    workers = Workers(str(tmp_path))
    in_child(lambda: workers.tell([counter("a", 10.0)]))
    (left,) = tmp_path.glob("*.apsperf")
    kept = left.read_bytes()
    assert totals(workers) == 10.0
    left.write_bytes(kept)  # killed between the folding and the removal
    assert totals(workers) == 10.0


def test_threads_of_a_worker_may_tell_at_once(tmp_path: Path) -> None:
    workers = Workers(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        told = [pool.submit(workers.tell, [counter("a", 1.0)]) for _ in range(2000)]
    assert not [each for each in told if each.exception()]
    assert [each.name for each in tmp_path.iterdir()] == [f"{me()}.apsperf"]


def test_a_disk_that_takes_nothing_leaves_a_scrape_its_own_numbers(
    tmp_path: Path, shell: str, clients: Any
) -> None:
    place = tmp_path / "numbers"
    client = clients(shell, prometheus=ON | {"directory": str(place)})
    client.ask("/items/5")
    place.rename(tmp_path / "gone")
    place.touch()
    assert list(values(scraped(client), COUNT).values()) == [1.0]
    assert client.suite.exporter.faults.counts["prometheus.directory"]


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x93" * 50, b"\x00" * 1000])
def test_files_that_are_no_files_of_ours_are_skipped(tmp_path: Path, junk: bytes) -> None:
    workers = Workers(str(tmp_path))
    workers.tell([counter("a", 1.0)])
    (tmp_path / "1-1.apsperf").write_bytes(junk)
    (tmp_path / DEAD).write_bytes(junk)
    (tmp_path / "2-2.apsperf").mkdir()
    assert totals(workers, counter("a", 1.0)) == 1.0
    assert workers.skipped


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SettingError, match="others may write there"):
        Workers(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="prometheus.directory"):
        Workers(str(tmp_path / "file"))


def test_a_process_lives_while_it_runs() -> None:
    assert lives(f"{me()}.apsperf")
    assert not lives(f"{os.getpid()}-1.apsperf")
    assert not lives("junk.apsperf")
    dead = in_child(lambda: None)
    assert not lives(f"{dead}-1.apsperf")


def test_each_worker_has_the_numbers_of_all(tmp_path: Path, shell: str, clients: Any) -> None:
    client = clients(shell, prometheus={**ON, "directory": str(tmp_path / "p")})
    client.ask()

    def work() -> None:
        for _ in range(3):
            client.ask()
        client.suite.close()

    in_child(work)
    assert sum(values(scraped(client), COUNT).values()) == 4
    assert values(scraped(client), "process_threads")

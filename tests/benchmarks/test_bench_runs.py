from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load
from benchmarks.__main__ import main
from benchmarks.cases import PLANS, Case, Plan
from benchmarks.report import against_bar, table
from benchmarks.servers import KINDS, Server
from benchmarks.shells import ASGI, SHELLS, Shell

Run = Callable[..., tuple[str, dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in its smallest form; gives its output and its JSON."""

    def run(*arguments: str) -> tuple[str, dict[str, Any]]:
        path = tmp_path / "made" / "bench.json"
        assert main(["--quick", "--rounds", "1", "--json", str(path), *arguments]) == 0
        return capsys.readouterr().out, json.loads(path.read_bytes())

    return run


def test_every_case_is_measured_on_both_shells_beside_the_bare_app(run: Run) -> None:
    out, found = run("--only", "in-process")
    measured = {(row["shell"], row["case"], row["contender"]) for row in found["in_process"]}
    for shell in SHELLS:
        for plan in PLANS:
            assert plan.title in out
            names = {"bare", "suite"} | ({"dict"} if plan.in_dict else set())
            assert {(shell.name, plan.name, name) for name in names} <= measured
    assert all(row["us"] > 0 for row in found["in_process"])
    assert all(row["added_us"] == 0 for row in found["in_process"] if row["contender"] == "bare")
    assert found["servers"] == []
    assert found["imports"] is None


def test_the_json_says_on_what_it_was_measured(run: Run) -> None:
    _, found = run("--only", "hit")
    about = found["about"]
    assert about["cpu"]
    assert about["python"][0] == "3"
    assert about["flags"]["optimize"] in {0, 1, 2}
    assert about["versions"]["msgspec"]
    assert {row["case"] for row in found["in_process"]} == {"hit"}


def test_bars_stand_only_on_what_the_suite_adds(run: Run) -> None:
    _, found = run("--only", "hit")
    bars = {(r["shell"], r["contender"]): r["bar_us"] for r in found["in_process"]}
    assert bars["asgi", "suite"] == 2.5
    assert bars["wsgi", "suite"] == 1.5
    assert bars["asgi", "bare"] is None
    assert bars["asgi", "dict"] is None


def test_a_server_is_measured_bare_and_wrapped(run: Run) -> None:
    out, found = run("--only", "uvicorn")
    rows = {row["wrapping"]: row for row in found["servers"]}
    assert set(rows) == {"bare", "hit", "observed"}
    assert rows["bare"]["cpu_ratio"] == 1
    assert all(row["requests_per_s"] > 0 and row["cpu_us"] > 0 for row in rows.values())
    assert "uvicorn" in out


@pytest.mark.parametrize("kind", KINDS)
def test_every_server_starts_serves_a_hit_and_stops(kind: str) -> None:
    with Server(kind, "hit") as server:
        server.wait_ready()
        assert load.load_s(server.port, 40, 8) > 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1).close()


def test_a_server_that_does_not_start_says_why() -> None:
    with Server("uvicorn", "absent") as server, pytest.raises(RuntimeError, match="asgi_absent"):
        server.wait_ready()


def test_the_import_is_compared_with_the_bare_interpreter(run: Run) -> None:
    out, found = run("--only", "import")
    taken = found["imports"]
    assert taken["with_import_ms"] > taken["interpreter_ms"] > 0
    assert "apsperf_mw" in out


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
@pytest.mark.parametrize("plan", [plan for plan in PLANS if plan.says], ids=lambda plan: plan.name)
def test_a_case_whose_suite_answers_otherwise_is_refused(plan: Plan, shell: Shell) -> None:
    case = Case(plan, shell)
    try:
        case.contenders = (*case.contenders[:-1], case.contenders[0])
        with pytest.raises(RuntimeError, match=plan.name):
            case.check()
    finally:
        case.close()


def test_requests_share_no_object_that_remembers_its_hash() -> None:
    one, other = (ASGI.request("/a", (("accept", "text/html"),)) for _ in range(2))
    assert one == other
    assert one["path"] is not other["path"]
    assert one["headers"][0][1] is not other["headers"][0][1]


def test_ratios_are_to_the_bare_app() -> None:
    with Server("uvicorn", "bare") as one, Server("uvicorn", "hit") as other:
        one.rates, one.cpu_us = [100.0, 10.0, 10.0], [1.0, 9.0, 2.0]
        other.rates, other.cpu_us = [50.0, 5.0, 9.0], [2.0, 9.0, 5.0]
    results = [each.result(one) for each in (one, other)]
    assert [(each.requests_ratio, each.cpu_ratio) for each in results] == [(1.0, 1.0), (0.5, 2.0)]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked",
    ],
)
def test_the_load_generator_refuses_what_it_cannot_count(head: bytes) -> None:
    with pytest.raises(load.LoadError):
        load.body_bytes(head)


def test_a_bar_shows_how_much_of_it_is_used() -> None:
    assert against_bar(1.25, 2.5, "us") == "<= 2.5 us: 50%"
    assert against_bar(1.25, None, "us") == ""


def test_columns_line_up() -> None:
    assert table(("a", "b", "c"), [("x", "long", "1.0")]) == (
        "a  b       c\n-  ----  ---\nx  long  1.0"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--rounds", "0"], "accepted: a whole number above 0"), (["--only", "x"], "gunicorn sync")],
)
def test_a_bad_argument_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err

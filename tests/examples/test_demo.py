"""The demo as a user runs it: a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def environ(**added: str) -> dict[str, str]:
    """Ours without settings that a user may have."""
    ours = ("APSPERF_", "OTEL_", "SHOP_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | added


def start(*arguments: str, **added: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(DEMO), *arguments],
        env=environ(**added),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_replays_compares_and_prints_the_table(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    with start("--requests", "400", "--json", str(file)) as demo:
        shown, _ = demo.communicate()

    assert demo.returncode == 0, shown
    assert "402 responses identical" in shown
    assert "Replayed 400 of 400" in shown
    for row in ("requests/s", "p50", "p95", "p99", "hit ratio", "app calls", "SQL statements"):
        assert re.search(rf"^{row}.* [\d,.]+%? +[\d,.]+%?", shown, re.MULTILINE), shown
    assert "make demo ARGS=--serve" in shown

    figures = json.loads(file.read_text())
    bare, wrapped = figures["bare"], figures["wrapped"]
    assert bare["app_calls"] == 402
    assert wrapped["app_calls"] < 300
    assert wrapped["sql_statements"] < bare["sql_statements"]
    assert bare["hit_ratio"] == bare["spans"] == bare["metric_points"] == 0
    assert wrapped["hit_ratio"] > 0.3
    assert wrapped["spans"] > 0
    assert wrapped["metric_points"] > 0
    assert min(bare["rss_mib"], wrapped["rss_mib"]) > 10


def test_a_shop_that_does_not_start_is_named_with_its_log() -> None:
    with start("--requests", "1", APSPERF_CACHE__PATIENCE_S="soon") as demo:
        shown, _ = demo.communicate()

    assert demo.returncode == 1
    assert "the wrapped shop has ended with exit code" in shown
    assert "cache.patience_s" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="signals a process as a terminal does")
def test_serve_keeps_both_shops_up_until_it_is_interrupted() -> None:
    with start("--requests", "1", "--serve") as demo:
        assert demo.stdout is not None
        shown = ""
        while "Ctrl-C ends both." not in shown:
            line = demo.stdout.readline()
            assert line, shown
            shown += line
        bare, wrapped = re.findall(r"http://127\.0\.0\.1:\d+", shown)[:2]
        heads = [dict(urlopen(f"{shop}/genres").headers) for shop in (bare, wrapped, wrapped)]
        demo.send_signal(signal.SIGINT)
        demo.communicate()

    assert demo.returncode == 0
    assert "cache-status" not in heads[0]
    assert "hit" in heads[2]["cache-status"]
    assert {"age", "server-timing"} <= set(heads[2])
    for shop in (bare, wrapped):
        with pytest.raises(URLError):
            urlopen(shop)

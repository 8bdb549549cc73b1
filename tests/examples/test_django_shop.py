"""The Django example, in a process of its own: it settles Django's settings for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["/artists", "/artists/1", "/albums/1", "/charts", "/export"]

ASK = """
import json, sys
import examples.django_shop
from django.test import Client

def ask(method, page, data=None, visitor=0):
    response = getattr(visitors[visitor], method)(page, data)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return [response.status_code, response.getvalue().decode(), headers]

visitors = [Client(), Client()]
print(json.dumps([ask(*asked) for asked in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="module")
def replies() -> Any:
    """Status, body and headers: each page twice, the basket's story, a 404 twice."""
    asked: list[tuple[Any, ...]] = [("get", page) for page in PAGES for _ in range(2)]
    asked += [
        ("post", "/basket", {"track": 7}),
        ("get", "/basket"),
        ("get", "/basket", None, 1),
        ("get", "/artists/1"),
        ("get", "/albums/9999"),
        ("get", "/albums/9999"),
        ("post", "/artists"),
    ]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(("APSPERF_", "OTEL_"))},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("number", range(len(PAGES)), ids=PAGES)
def test_a_marked_page_comes_from_the_cache_the_second_time(number: int, replies: Any) -> None:
    first, second = replies[2 * number : 2 * number + 2]

    assert first[0] == 200
    assert "stored" in first[2]["cache-status"]
    assert "hit" in second[2]["cache-status"]
    assert "server-timing" in second[2]
    assert second[:2] == first[:2]


def test_the_basket_is_the_visitors_own(replies: Any) -> None:
    posted, own, others = replies[10:13]

    assert [json.loads(reply[1])["basket"] for reply in (posted, own, others)] == [[7], [7], []]
    assert not any("hit" in reply[2]["cache-status"] for reply in (posted, own, others))


def test_a_basket_does_not_keep_a_visitor_from_shared_pages(replies: Any) -> None:
    assert "hit" in replies[13][2]["cache-status"]


def test_what_fails_is_asked_each_time(replies: Any) -> None:
    assert [reply[0] for reply in replies[14:]] == [404, 404, 405]
    assert not any("hit" in reply[2]["cache-status"] for reply in replies[14:])

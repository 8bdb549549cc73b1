"""Django Ninja and the REST framework, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.support import environ

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import json, sys
from examples.frameworks import django_apis
from django.test import Client

def ask(path, key):
    reply = Client().get(path, headers={"X-Key": key} if key else {})
    return reply.status_code, reply.content.decode(), reply.headers.get("Cache-Status", "")

print(json.dumps([ask(*asked) for asked in json.load(sys.stdin)]))
"""
KEY = "only for the example"
ASKED = [
    ("/ninja/albums/5", ""),
    ("/ninja/albums/5", ""),
    ("/rest/albums/5", ""),
    ("/rest/albums/5", ""),
    ("/ninja/stock/5", KEY),
    ("/ninja/stock/5", KEY),
    ("/ninja/stock/5", ""),
    ("/rest/stock/5", ""),
    ("/ninja/albums/9999", ""),
    ("/rest/albums/9999", ""),
]


@pytest.fixture(scope="module")
def replies() -> list[Any]:
    ran = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(ASKED),
        cwd=ROOT,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    made: list[Any] = json.loads(ran.stdout)
    return made


@pytest.mark.parametrize("first", [0, 2], ids=["ninja", "rest"])
def test_a_marked_page_is_made_once(first: int, replies: list[Any]) -> None:
    made, kept = replies[first : first + 2]
    assert (made[0], json.loads(made[1])) == (200, {"id": 5, "title": "Big Ones"})
    assert "stored" in made[2]
    assert kept[:2] == made[:2]
    assert "hit" in kept[2]


def test_what_is_guarded_is_not_kept(replies: list[Any]) -> None:
    own, again, others, rest = replies[4:8]
    assert own[0] == again[0] == 200
    assert not any("stored" in each[2] or "hit" in each[2] for each in (own, again))
    assert others[0] == 401
    assert rest[0] in {401, 403}


def test_what_is_not_there_is_not_kept(replies: list[Any]) -> None:
    assert [each[0] for each in replies[8:]] == [404, 404]
    assert not any("stored" in each[2] for each in replies[8:])

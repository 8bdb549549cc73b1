"""Every kind of caller on every kind of driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.support import Shop

OWN = (
    ("plain", "bytes"),
    ("plain", "shared"),
    ("asyncio", "bytes"),
    ("asyncio", "suspending"),
    ("trio", "shared suspending"),
)
SHOPS = (
    *OWN,
    ("plain", "memory"),
    ("plain", "file"),
    ("asyncio", "memory"),
    ("asyncio", "file"),
    ("trio", "file"),
)


@pytest.fixture(params=SHOPS, ids=" on ".join)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(request.param[0], request.param[1], tmp_path)
    yield shop
    shop.suite.close()


@pytest.fixture(params=OWN, ids=" on ".join)
def breakable(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return Shop(request.param[0], request.param[1], tmp_path)

"""What a server runs: `uvicorn --factory examples.shop.serve:wrapped`."""

import os

from fastapi import FastAPI

from .app import create_app


def bare() -> FastAPI:
    """The shop with no suite at all."""
    return _create(wrapped=False)


def wrapped() -> FastAPI:
    """The shop with the suite round it."""
    return _create(wrapped=True)


def _create(*, wrapped: bool) -> FastAPI:
    secret = os.environ.get("SHOP_SECRET", "")
    return create_app(wrapped=wrapped, secret=secret, demo="SHOP_DEMO" in os.environ)

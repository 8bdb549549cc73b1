"""A record shop on the Chinook database: FastAPI and SQLAlchemy.

Its routes say by `@cached` what may be kept, and that a customer's cookie does not
change it (`shared`); without the suite round the app that means nothing.
The modules evaluate annotations at once, because FastAPI, pydantic and SQLAlchemy read them.
"""

from .app import create_app

__all__ = ["create_app"]

"""The record shop with Flask, blueprints and Jinja; its database is read with SQLAlchemy.

Its pages are for everybody whatever a cookie says (`shared`), but for the customer's and the
basket.

flask --app examples.flask_shop run
"""

from .app import create_app

__all__ = ["create_app"]

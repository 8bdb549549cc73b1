"""Who is asking, the customer's own page, and the visitor's basket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, abort, current_app, jsonify, request
from flask import session as visit

from examples.records.models import Customer
from examples.records.schemas import CustomerOut
from examples.records.seals import COOKIE, customer_of

from .parts import answer, session

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("account", __name__)


def customer() -> Customer:
    """The customer whom the cookie names, or a 401."""
    number = customer_of(request.cookies.get(COOKIE, ""), str(current_app.secret_key))
    found = None if number is None else session().get(Customer, number)
    return found or abort(401, "Please sign in first.")


@blueprint.get("/customers/me")
def me() -> Response:
    """The customer's own page: for nobody else, so never kept."""
    page = answer(CustomerOut.model_validate(customer()))
    page.headers["Cache-Control"] = "private, no-store"
    return page


@blueprint.get("/basket")
def basket() -> Response:
    """The visitor's own basket. It reads the session, so it is never kept."""
    return jsonify(visit.get("basket", []))


@blueprint.post("/basket")
def add_to_basket() -> tuple[Response, int]:
    """Put a track into the basket."""
    visit["basket"] = [*visit.get("basket", []), int(request.form["track"])]
    return jsonify(visit["basket"]), 201

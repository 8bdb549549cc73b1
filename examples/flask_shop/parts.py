"""What all blueprints use: the suite's marks, the request's session, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flask import abort, current_app, g, jsonify, request
from pydantic import BaseModel, ValidationError

from apsperf_flask import APSPerf
from examples.records.seals import is_staff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Response
    from sqlalchemy.orm import Session

    from examples.records.database import Database

perf = APSPerf()

Row = TypeVar("Row")
Model = TypeVar("Model", bound=BaseModel)
LAST_PAGE = 1000


def database() -> Database:
    """The app's database."""
    found: Database = current_app.extensions["records"]
    return found


def session() -> Session:
    """The request's session, closed with it."""
    if "session" not in g:
        g.session = database().sessions()
    opened: Session = g.session
    return opened


def close_session(_: BaseException | None) -> None:
    """Close the request's session, if it asked for one."""
    if "session" in g:
        g.session.close()


def found(row: Row | None) -> Row:
    """The row, or a 404."""
    return abort(404) if row is None else row


def answer(model: BaseModel | Sequence[BaseModel]) -> Response:
    """The model or models as JSON."""
    if isinstance(model, BaseModel):
        return jsonify(model.model_dump(mode="json"))
    return jsonify([one.model_dump(mode="json") for one in model])


def taken(model: type[Model]) -> Model:
    """The request's JSON as a model, or a 422 that names the field."""
    try:
        return model.model_validate(request.get_json())
    except ValidationError as error:
        abort(422, "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors()))


def page_number() -> int:
    """The page that is asked for: 1, or a 422."""
    number = request.args.get("page", "1")
    if not (number.isascii() and number.isdecimal() and 1 <= int(number) <= LAST_PAGE):
        abort(422, f"page: {number!r} given; accepted: 1 to {LAST_PAGE}")
    return int(number)


def only_staff() -> None:
    """Let only staff pass; others get a 401."""
    if not is_staff(request.headers.get("Authorization", ""), str(current_app.secret_key)):
        abort(401)

"""Who is asking, and the customer's own page."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, HTTPException, Request, Response

from examples.records.models import Customer
from examples.records.schemas import CustomerOut
from examples.records.seals import customer_of, is_staff

from .session import SessionIn

router = APIRouter()


def customer(
    request: Request, session: SessionIn, shop_session: Annotated[str, Cookie()] = ""
) -> Customer:
    """The customer whom the cookie names, or a 401."""
    number = customer_of(shop_session, request.app.state.secret)
    found = None if number is None else session.get(Customer, number)
    if found is None:
        raise HTTPException(401, "Please sign in first.")
    return found


def staff(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    """Let only staff pass; others get a 401."""
    if not is_staff(authorization, request.app.state.secret):
        raise HTTPException(401, "Staff only.", {"WWW-Authenticate": "Bearer"})


CustomerIn = Annotated[Customer, Depends(customer)]


@router.get("/customers/me")
def me(signed_in: CustomerIn, session: SessionIn, response: Response) -> CustomerOut:
    """The customer's own page: for nobody else, so never kept."""
    response.headers["Cache-Control"] = "private, no-store"
    session.refresh(signed_in, ["invoices"])
    return CustomerOut.model_validate(signed_in)

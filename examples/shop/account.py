"""Who is asking: customers by a sealed cookie, staff by a sealed bearer token.

The sign-in page that hands these out is not part of the example; `seal` is what it would call.
"""

import hmac
from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, HTTPException, Request, Response

from .database import SessionIn
from .models import Customer
from .schemas import CustomerOut

router = APIRouter()

COOKIE = "shop_session"
STAFF = "staff"


def seal(subject: str, secret: str) -> str:
    """The subject with a mark that only the shop can make."""
    mark = hmac.digest(secret.encode(), subject.encode(), "sha256").hex()
    return f"{subject}.{mark}"


def unseal(sealed: str, secret: str) -> str | None:
    """The subject, or None where the mark is not ours."""
    subject = sealed.rpartition(".")[0]
    genuine = hmac.compare_digest(seal(subject, secret).encode(), sealed.encode())
    return subject if genuine else None


def customer(
    request: Request, session: SessionIn, shop_session: Annotated[str, Cookie()] = ""
) -> Customer:
    """The customer whom the cookie names, or a 401."""
    subject = unseal(shop_session, request.app.state.secret) or ""
    found = session.get(Customer, int(subject)) if subject.isdecimal() else None
    if found is None:
        raise HTTPException(401, "Please sign in first.")
    return found


def staff(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    """Let only staff pass; others get a 401."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or unseal(token, request.app.state.secret) != STAFF:
        raise HTTPException(401, "Staff only.", {"WWW-Authenticate": "Bearer"})


CustomerIn = Annotated[Customer, Depends(customer)]


@router.get("/customers/me")
def me(signed_in: CustomerIn, session: SessionIn, response: Response) -> CustomerOut:
    """The customer's own page: for nobody else, so never kept."""
    response.headers["Cache-Control"] = "private, no-store"
    session.refresh(signed_in, ["invoices"])
    return CustomerOut.model_validate(signed_in)

"""Who is asking: customers by a sealed cookie, staff by a sealed bearer token.

The sign-in page that hands these out is not part of the examples; `seal` is what it would call.
"""

import hmac

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


def customer_of(cookie: str, secret: str) -> int | None:
    """The number of the customer whom the cookie names, or None."""
    subject = unseal(cookie, secret) or ""
    return int(subject) if subject.isdecimal() else None


def is_staff(authorization: str, secret: str) -> bool:
    """Whether the field's value is a bearer token of the staff."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and unseal(token, secret) == STAFF

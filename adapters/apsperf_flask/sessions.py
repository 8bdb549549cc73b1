"""The session of a Flask request, looked at without using it."""

from __future__ import annotations


def session_of(context: object) -> object:
    """The request's session, or None where it has none.

    Asking the context for its session would count as using it, so its own dictionary is read:
    Flask before 3.1.3 calls it `session`.
    """
    known = vars(context)
    return known.get("_session", known.get("session"))

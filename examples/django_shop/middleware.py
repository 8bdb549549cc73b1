"""What is refused is answered, not raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.deprecation import MiddlewareMixin

from .forms import Refused

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class Refusals(MiddlewareMixin):
    """Makes a 422 of `Refused`, without a thread's hop on either side."""

    def process_exception(self, _: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to what was refused; None leaves the rest to Django."""
        return exception.answer() if isinstance(exception, Refused) else None

"""Who is asking, the customer's own page, and the visitor's basket."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_http_methods

from examples.records.seals import COOKIE, customer_of, is_staff

from .models import Customer

if TYPE_CHECKING:
    from django.http import HttpRequest


def customer(request: HttpRequest) -> Customer | None:
    """The customer whom the cookie names."""
    number = customer_of(request.COOKIES.get(COOKIE, ""), settings.SECRET_KEY)
    return None if number is None else Customer.objects.filter(pk=number).first()


def from_staff(request: HttpRequest) -> bool:
    """Whether one of the staff asks."""
    return is_staff(request.headers.get("Authorization", ""), settings.SECRET_KEY)


def sign_in_first() -> HttpResponse:
    """The answer to who may not."""
    return HttpResponse("Please sign in first.", status=401)


@require_GET
def me(request: HttpRequest) -> HttpResponse:
    """The customer's own page: for nobody else, so never kept."""
    found = customer(request)
    if found is None:
        return sign_in_first()
    page = {
        "first_name": found.first_name,
        "last_name": found.last_name,
        "email": found.email,
        "invoices": list(found.invoices.order_by("-date").values("id", "date", "total")),
    }
    return JsonResponse(page, headers={"Cache-Control": "private, no-store"})


@require_http_methods(["GET", "POST"])
def basket(request: HttpRequest) -> JsonResponse:
    """The visitor's own basket. It reads the session, so it is never kept."""
    tracks = request.session.get("basket", [])
    if request.method == "GET":
        return JsonResponse(tracks, safe=False)
    tracks = request.session["basket"] = [*tracks, int(request.POST["track"])]
    return JsonResponse(tracks, safe=False, status=201)

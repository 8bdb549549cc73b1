"""What the shop takes."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import JsonResponse

if TYPE_CHECKING:
    from django.http import HttpRequest


class Refused(Exception):
    """What was sent is not accepted; it tells the fields and why."""

    def __init__(self, errors: object) -> None:
        super().__init__(errors)
        self.errors = errors

    def answer(self) -> JsonResponse:
        """A 422 that says so."""
        return JsonResponse({"errors": self.errors}, status=422)


class Page(forms.Form):
    """Which page of a long list."""

    page = forms.IntegerField(min_value=1, max_value=1000)


class Words(forms.Form):
    """What to search for."""

    q = forms.CharField(min_length=2, max_length=50, strip=False)


class ReviewForm(forms.Form):
    """A review to add."""

    stars = forms.IntegerField(min_value=1, max_value=5)
    text = forms.CharField(min_length=1, max_length=2000, strip=False)


class Price(forms.Form):
    """A new price."""

    price = forms.FloatField(min_value=0, max_value=1000)


def taken(form: forms.Form) -> dict[str, Any]:
    """What the form holds; `Refused` where it is not valid."""
    if not form.is_valid():
        raise Refused(form.errors.get_json_data())
    data: dict[str, Any] = form.cleaned_data
    return data


def sent(request: HttpRequest) -> dict[str, Any]:
    """The request's JSON object; `Refused` where it has none."""
    try:
        found = json.loads(request.body)
    except ValueError:
        raise Refused("the body is not JSON") from None
    if not isinstance(found, dict):
        raise Refused("the body is no JSON object")
    return found


def page_number(request: HttpRequest) -> int:
    """The page that is asked for, or the first."""
    number: int = taken(Page({"page": request.GET.get("page", "1")}))["page"]
    return number

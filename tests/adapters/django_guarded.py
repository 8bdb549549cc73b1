"""Views of Django's, of its REST framework and of Django Ninja, each behind a guard.

Import it once Django is set up, which `django_site` does.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required, user_passes_test
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from ninja import NinjaAPI
from ninja.security import APIKeyHeader
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view, permission_classes, throttle_classes
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.response import Response as RestResponse
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from apsperf_django import cached
from tests.adapters.support import FOR_ALL

KEY = "insider"


class User:
    """Whoever has the key, by no session."""

    def __init__(self, *, known: bool) -> None:
        self.is_authenticated = self.is_active = known
        self.pk = 1


def by_key(get_response: Any) -> Any:
    """A middleware that knows users by a field of their own."""

    def middleware(request: Any) -> Any:
        request.user = User(known=request.headers.get("X-Key") == KEY)
        return get_response(request)

    return middleware


def page(*_: Any) -> HttpResponse:
    return HttpResponse(b"for insiders", headers=FOR_ALL)


@login_required
def function(request: HttpRequest) -> HttpResponse:
    return page()


@user_passes_test(lambda user: user.is_authenticated)
def tested(request: HttpRequest) -> HttpResponse:
    return page()


class Mixed(LoginRequiredMixin, View):
    get = page


@method_decorator(login_required, name="dispatch")
class Dispatched(View):
    get = page


class Method(View):
    @method_decorator(login_required)
    def get(self, request: HttpRequest) -> HttpResponse:
        return page()


class HasKey(BasePermission):
    def has_permission(self, request: Any, view: Any) -> Any:
        return bool(request.headers.get("X-Key") == KEY)


class KnowsKey(BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        return (User(known=True), None) if request.headers.get("X-Key") == KEY else None


class Never(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return bool(request.headers.get("X-Key") == KEY)


class Rest(APIView):
    permission_classes = [HasKey]

    def get(self, request: Any) -> Any:
        return RestResponse("for insiders", headers=FOR_ALL)


class Known(APIView):
    authentication_classes = [KnowsKey]
    permission_classes = [AllowAny]

    def get(self, request: Any) -> Any:
        known = getattr(request.user, "is_authenticated", False)
        return RestResponse("in" if known else "out", 200 if known else 403, headers=FOR_ALL)


@api_view(["GET"])
@throttle_classes([Never])
@permission_classes([AllowAny])
def throttled(request: Any) -> Any:
    return RestResponse("for insiders", headers=FOR_ALL)


class ByHeader(APIKeyHeader):
    param_name = "X-Key"

    def authenticate(self, request: Any, key: Any) -> Any:
        return key if key == KEY else None


def ninja() -> NinjaAPI:
    api = NinjaAPI(urls_namespace="guarded", docs_url=None)

    @api.get("/in", auth=ByHeader())
    def inside(request: Any) -> Any:
        return page()

    return api


def address(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.META["REMOTE_ADDR"]).encode(), headers=FOR_ALL)


def near(request: HttpRequest) -> HttpResponse:
    return address(request)


class Address(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(
            str(request.META.get("HTTP_X_FORWARDED_FOR", "")).encode(), headers=FOR_ALL
        )


@cached("short", shared=True)
@login_required
def for_all(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"for all")


@cached("short")
def free(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"free")


URLS = {
    "function": function,
    "tested": tested,
    "mixed": Mixed.as_view(),
    "dispatched": Dispatched.as_view(),
    "method": Method.as_view(),
    "rest": Rest.as_view(),
    "known": Known.as_view(),
    "throttled": throttled,
}


def urls() -> tuple[Any, ...]:
    """All of them, and one without a guard."""
    return (
        *(path(name, view) for name, view in URLS.items()),
        path("ninja/", include((ninja().urls[0], "guarded"))),
        path("for-all", for_all),
        path("free", free),
        path("address", address),
        path("near", near),
        path("address/class", Address.as_view()),
    )

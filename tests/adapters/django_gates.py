"""Views behind guards of every form that a project of Django's may have.

Import it once Django is set up, which `django_site` does.
"""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from ninja import NinjaAPI
from rest_framework import authentication, permissions, throttling
from rest_framework.response import Response as RestResponse
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from apsperf_django import cached
from tests.adapters.django_guarded import KEY, User
from tests.adapters.support import FOR_ALL


class Guard:
    """Decides once the view is known."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self._get_response(request)

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        if request.headers.get("X-Key") != KEY and request.path != "/free":
            return HttpResponseForbidden(b"no")
        return None


class Timer(Guard):
    """Only looks."""

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> None:
        request.view_name = view.__name__


class Permission(permissions.BasePermission):
    def has_permission(self, request: Any, view: Any) -> Any:
        return bool(request.headers.get("X-Key") == KEY)


Permission.__name__ = "BasePermission"


class Authentication(authentication.BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        return (User(known=True), None) if request.headers.get("X-Key") == KEY else None


Authentication.__name__ = "SessionAuthentication"


class Once(throttling.BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return bool(request.headers.get("X-Key") == KEY)


class Page(APIView):
    authentication_classes: Any = []
    permission_classes: Any = []

    def get(self, request: Any) -> Any:
        return RestResponse("secret", headers=FOR_ALL)


class Permissions(Page):
    def get_permissions(self) -> Any:
        return [Permission()]


class Throttles(Page):
    def get_throttles(self) -> Any:
        return [Once()]


class Check(Page):
    def check_permissions(self, request: Any) -> None:
        if request.headers.get("X-Key") != KEY:
            self.permission_denied(request)


class OwnBase(Page):
    permission_classes = [Permission]


class OwnAuthentication(Page):
    authentication_classes = [Authentication]

    def get(self, request: Any) -> Any:
        known = getattr(request.user, "is_authenticated", False)
        return RestResponse("in" if known else "out", 200 if known else 403, headers=FOR_ALL)


class Action(ViewSet):
    authentication_classes: Any = []
    permission_classes: Any = []

    @method_decorator(login_required)
    def list(self, request: Any) -> Any:
        return RestResponse("secret", headers=FOR_ALL)


class Parent(View):
    @method_decorator(login_required)
    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(*args, **kwargs)


class Child(Parent):
    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(*args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"secret", headers=FOR_ALL)


class Members(LoginRequiredMixin, View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"secret", headers=FOR_ALL)


def timed(view: Any) -> Any:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return inner


GATES: dict[str, Any] = {
    "permissions": Permissions.as_view(),
    "throttles": Throttles.as_view(),
    "check": Check.as_view(),
    "own-base": OwnBase.as_view(),
    "own-authentication": OwnAuthentication.as_view(),
    "parent": Child.as_view(),
    "decorated": timed(Members.as_view()),
    "partial": functools.partial(Members.as_view()),
}


@cached("short")
def hello(request: Any) -> HttpResponse:
    return HttpResponse(f"hi {'in' if request.user.is_authenticated else 'out'}".encode())


class BySetup(View):
    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.address = request.META["REMOTE_ADDR"]

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(self.address.encode(), headers=FOR_ALL)


class ByHelper(View):
    def address(self) -> str:
        return str(self.request.META["REMOTE_ADDR"])

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(self.address().encode(), headers=FOR_ALL)


class Address(ViewSet):
    authentication_classes: Any = []
    permission_classes: Any = []

    def list(self, request: Any) -> Any:
        return RestResponse(request.META["REMOTE_ADDR"], headers=FOR_ALL)


class Marked(ViewSet):
    authentication_classes: Any = []
    permission_classes: Any = []

    @cached("short")
    def list(self, request: Any) -> Any:
        return RestResponse("x")


def ninja() -> NinjaAPI:
    api = NinjaAPI(urls_namespace="gates", docs_url=None)

    @api.get("/ip")
    @cached("short")
    def ip(request: Any) -> Any:
        return request.META["REMOTE_ADDR"]

    return api


@cached("short")
def free(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"free")


ADDRESSES: dict[str, Any] = {
    "setup": BySetup.as_view(),
    "helper": ByHelper.as_view(),
    "address": Address.as_view({"get": "list"}),
}


def urls() -> tuple[Any, ...]:
    """All of them."""
    return (
        *(path(name, view) for name, view in (GATES | ADDRESSES).items()),
        path("ninja/", include((ninja().urls[0], "gates"))),
        path("hello", hello),
        path("marked", Marked.as_view({"get": "list"})),
        path("free", free),
    )

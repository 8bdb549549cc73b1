"""The shop in Django, which has one project in a process: not to be imported by tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

if TYPE_CHECKING:
    from django.http import HttpRequest


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"page", headers={"Cache-Control": "max-age=60"})


def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"private", headers={"Cache-Control": "private"})


urlpatterns = [path("page", page), path("private", private)]

settings.configure(
    ALLOWED_HOSTS=["shop.test"],
    INSTALLED_APPS=["apsperf_django"],
    MIDDLEWARE=["apsperf_django.middleware.SuiteMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
    USE_TZ=True,
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

wsgi = get_wsgi_application()
asgi = get_asgi_application()

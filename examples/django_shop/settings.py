"""The shop's settings; `SHOP_SECRET` seals cookies and tokens."""

import atexit
import os
import secrets
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

from examples.records.database import copied_file

keep = ExitStack()
atexit.register(keep.close)
FILE = keep.enter_context(copied_file())
with closing(sqlite3.connect(FILE)) as database:
    database.execute(
        "CREATE TABLE review (id INTEGER PRIMARY KEY, album_id INTEGER NOT NULL"
        " REFERENCES Album(AlbumId), author TEXT NOT NULL, stars INTEGER NOT NULL,"
        " text TEXT NOT NULL)"
    )
    database.execute("CREATE INDEX review_album ON review (album_id)")

SECRET_KEY = os.environ.get("SHOP_SECRET", "") or secrets.token_hex()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "examples.django_shop.urls"
ASGI_APPLICATION = "examples.django_shop.serve.asgi"
WSGI_APPLICATION = "examples.django_shop.serve.wsgi"
INSTALLED_APPS = ["apsperf_django", "examples.django_shop.apps.Shop"]
MIDDLEWARE = [
    "apsperf_django.middleware.SuiteMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "examples.django_shop.middleware.Refusals",
]
APSPERF = {"timing": {"server_timing": "on"}}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).resolve().parent / "templates"],
    }
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FILE}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False

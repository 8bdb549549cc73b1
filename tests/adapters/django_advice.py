"""What Django is told of its indexes, as JSON: by its own statements, and by commands."""

# Django comes without types.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import Any

import django
from django.conf import settings

MODELS = """
from django.db import models

class Reader(models.Model):
    email = models.CharField(max_length=60)
    city = models.CharField(max_length=20, db_column="Town")
    joined = models.IntegerField()
    left = models.IntegerField(null=True)
"""
place = Path(tempfile.mkdtemp())
sys.path.insert(0, str(place))
(place / "library" / "migrations").mkdir(parents=True)
for name, text in (("__init__", ""), ("migrations/__init__", ""), ("models", MODELS)):
    (place / "library" / f"{name}.py").write_text(text)

URL = os.environ.get("LIBRARY", "")
DATABASES: dict[str, Any] = {
    "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": place / "library.sqlite"},
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "USER": "apsperf",
        "HOST": "127.0.0.1",
        "PORT": URL,
    },
}
settings.configure(
    INSTALLED_APPS=["apsperf_django", "library"],
    DATABASES={"default": DATABASES["postgresql" if URL else "sqlite"]},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    APSPERF={"logging": {"slow_query_s": 1e-9, "interval_s": 0.01}},
    USE_TZ=False,
)
django.setup()

from django.core.management import CommandError, call_command  # noqa: E402
from django.db import connection  # noqa: E402
from library.models import Reader  # type: ignore[import-not-found]  # noqa: E402

from apsperf_django import get_suite  # noqa: E402

SCRIPT = """SELECT * FROM library_reader WHERE lower(email) = 'reader5@library.test';
SELECT * FROM library_reader WHERE "Town" = 'town5' AND joined > 5 ORDER BY joined DESC LIMIT 3;
"""


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


def said(*command: str, **options: Any) -> str:
    out = StringIO()
    try:
        call_command(*command, stdout=out, **options)
    except CommandError as error:
        return f"error: {error}"
    return out.getvalue()


def main() -> None:
    get_suite()  # from now on statements are noted
    lines = Lines()
    logging.getLogger("apsperf.database").addHandler(lines)
    said("makemigrations", "library")
    said("migrate")
    Reader.objects.bulk_create(
        Reader(email=f"reader{n}@library.test", city=f"town{n % 499}", joined=n)
        for n in range(20_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for n in range(3):
        list(Reader.objects.filter(email=f"reader{n}@library.test"))
        list(Reader.objects.filter(city=f"town{n}", joined__gt=5).order_by("-joined")[:3])
    told: dict[str, Any] = {"own": get_suite().database().advise().as_dict()}
    until = time.monotonic() + 10
    while not any("plan of" in line and "FROM" in line for line in lines.told):
        assert time.monotonic() < until
        time.sleep(0.01)
    told["plans"] = [line for line in lines.told if "plan of" in line]
    script = place / "script.sql"
    script.write_text(SCRIPT)
    options = {"queries": str(script)}
    told["none"] = said("apsperf_advise")
    told["app"] = said("apsperf_advise", migration="nowhere", **options)
    told["json"] = json.loads(said("apsperf_advise", json=True, **options))
    told["written"] = said("apsperf_advise", migration="library", **options)
    told["file"] = next(place.glob("library/migrations/0002*.py")).read_text()
    told["migrated"] = said("migrate")
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "library_reader")
        cursor.execute("ANALYZE")
    told["indexes"] = sorted(name for name, each in constraints.items() if each["index"])
    told["again"] = said("apsperf_advise", **options)
    if URL:
        told["statistics"] = said("apsperf_advise", statistics=True)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE library_reader, django_migrations")
    connection.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()

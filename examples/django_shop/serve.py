"""What a server runs: `uvicorn examples.django_shop.serve:asgi`, `gunicorn ...serve:wsgi`."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_shop.settings")
asgi = get_asgi_application()
wsgi = get_wsgi_application()

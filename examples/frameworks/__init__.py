"""The suite round apps of other frameworks: by their ASGI or WSGI callable."""

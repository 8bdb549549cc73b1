"""Requests of our own, in the form in which a server gave the request that asks for them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from apsperf_mw.cache.screen import environ_name
from apsperf_mw.pull import RENEWED_KEYS as ENVIRON_KEYS
from apsperf_mw.push import RENEWED_KEYS as SCOPE_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apsperf_mw.admin.questions import Target
    from apsperf_mw.exchange import Header


def scope_like(
    scope: Mapping[str, Any], target: Target, headers: Sequence[Header]
) -> dict[str, Any]:
    """The scope of a GET of the target."""
    raw = _under(scope.get("root_path", ""), target.path)
    made = {name: scope[name] for name in SCOPE_KEYS if name in scope}
    state = {name: value for name, value in scope.get("state", {}).items() if name != "apsperf"}
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    host = [(b"host", target.host.encode("latin-1") if target.host else b"".join(hosts[:1]))]
    told = any(name == b"host" for name, _ in headers)
    made |= {
        "method": "GET",
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
        "query_string": target.query.encode("ascii"),
        "headers": [*([] if told else host), *headers],
        "client": None,
        "state": state,
    }
    if target.scheme:
        made["scheme"] = target.scheme
    if made.get("raw_path") is not None:
        made["raw_path"] = raw.encode("ascii")
    return made


def environ_like(
    environ: Mapping[str, Any], target: Target, headers: Sequence[Header]
) -> dict[str, Any]:
    """The environ of a GET of the target."""
    made = {name: environ[name] for name in ENVIRON_KEYS if name in environ}
    mount = environ.get("SCRIPT_NAME", "")
    raw = _under(mount, target.path)
    uri = f"{raw}?{target.query}" if target.query else raw
    path = unquote_to_bytes(raw).decode("latin-1")
    made |= {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path.removeprefix(mount),
        "QUERY_STRING": target.query,
        "REMOTE_ADDR": "",
        "HTTP_HOST": target.host or environ.get("HTTP_HOST", ""),
        "wsgi.input": BytesIO(),
        "wsgi.multithread": environ.get("wsgi.multithread", True),
        "wsgi.run_once": False,
    }
    if target.scheme:
        made["wsgi.url_scheme"] = target.scheme
    made |= {name: uri for name in ("RAW_URI", "REQUEST_URI") if name in environ}
    return made | {
        environ_name(name.decode("ascii")): value.decode("latin-1") for name, value in headers
    }


def _under(mount: str, path: str) -> str:
    """The path below the app's mount point, where it is not there already."""
    return path if not mount or path.startswith(f"{mount}/") else mount + path

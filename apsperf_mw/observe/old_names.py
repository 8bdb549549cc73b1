"""The conventions' names from before they were stable, told beside the stable ones. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apsperf_mw.observe.series import Attributes

NAMES = {
    "http.request.method": "http.method",
    "url.scheme": "http.scheme",
    "network.protocol.version": "http.flavor",
    "http.response.status_code": "http.status_code",
    "server.address": "net.host.name",
    "server.port": "net.host.port",
    "network.peer.address": "net.peer.ip",
    "client.address": "http.client_ip",
    "user_agent.original": "http.user_agent",
}


def beside(attributes: Attributes) -> Attributes:
    """The attributes under both names."""
    old = {NAMES[name]: value for name, value in attributes.items() if name in NAMES}
    if path := attributes.get("url.path"):
        query = attributes.get("url.query")
        old["http.target"] = f"{path}?{query}" if query else path
    return {**attributes, **old}


def old_only(attributes: Attributes) -> Attributes:
    """A metric's attributes by their old names; those that have none stay."""
    return {NAMES.get(name, name): value for name, value in attributes.items()}

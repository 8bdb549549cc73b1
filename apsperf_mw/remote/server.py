"""The admin endpoint of a running server, from the client's side."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, json

from apsperf_mw.errors import APSPerfError, SettingError
from apsperf_mw.warm.origin import Origin

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from apsperf_mw.settings import AdminSettings

TIMEOUT_S = 60.0
MOST_ANSWER_BYTES = 2**22
MARK = "apsperf-admin"
UNNAMED = "--token: not set; accepted: --token, or APSPERF_ADMIN__TOKEN in the environment"


class Unreached(APSPerfError):
    """The store is not reached, or the order cannot be carried out; the text says why."""


class PartlyDone(APSPerfError):
    """The order was carried out, but not everywhere; the text says where not."""


class Server:
    """Asks the endpoint of the server at a base URL; certificates are checked."""

    def __init__(self, base: str, settings: AdminSettings, token: str | None) -> None:
        try:
            self._origin = Origin.parse(base)
        except ValueError as error:
            raise Unreached(f"--server: {error}") from None
        self._token = token or settings.token
        self._path = settings.path
        if not self._token:
            raise Unreached(UNNAMED)
        if not (self._token.isascii() and self._token.isprintable()):
            raise Unreached("--token: accepted: visible ASCII")

    def ask(
        self, method: str, name: str, body: object = None, *, within_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        """The answer's fields."""
        try:
            with closing(self._connection(within_s)) as connection:
                return self._converse(connection, method, f"{self._path}/{name}", body)
        except (OSError, ValueError) as error:
            raise Unreached(f"{self._where}: {str(error) or type(error).__name__}") from None

    @property
    def _where(self) -> str:
        return f"{self._origin.scheme}://{self._origin.authority}{self._path}"

    def _converse(
        self, connection: HTTPConnection, method: str, target: str, body: object
    ) -> dict[str, Any]:
        from http.client import HTTPException

        content = None if body is None else json.encode(body)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            said = response.read(MOST_ANSWER_BYTES)
        except HTTPException as error:
            raise Unreached(f"{self._where}: {type(error).__name__}") from None
        if response.getheader(MARK) is None:
            raise Unreached(
                f"{self._where}: answered {response.status}, but not by an admin endpoint: "
                "admin.enabled is off, or admin.path or the token is another; it tells nobody which"
            )
        return checked(response.status, said)

    def _connection(self, within_s: float) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        kind = HTTPSConnection if self._origin.scheme == "https" else HTTPConnection
        return kind(self._origin.name, self._origin.port, timeout=within_s)


def checked(status: int, body: bytes) -> dict[str, Any]:
    """The fields of an answer; raises for one that is an error."""
    try:
        fields = json.decode(body, type=dict[str, Any])
    except DecodeError:
        raise Unreached(f"the endpoint's answer ({status}) cannot be read") from None
    if status == 503:
        raise PartlyDone(str(fields.get("error")))
    if status != 200:
        raise Unreached(str(fields.get("error")))
    return fields


def admin_settings() -> AdminSettings:
    """What this directory and environment say of the endpoint."""
    from apsperf_mw.settings import load

    try:
        return load()[0].admin
    except SettingError as error:
        raise Unreached(str(error)) from None

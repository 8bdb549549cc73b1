"""Who may use the admin endpoint, and which requests are for it."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from apsperf_mw.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apsperf_mw.faults import Faults
    from apsperf_mw.settings import AdminSettings

SCHEME = b"bearer"
REFUSED = "an admin request without the token"


class Door:
    """Knows the endpoint's path and its token; failures are counted, and told to nobody.

    A request without the token goes to the app, as if there were no endpoint.
    """

    def __init__(self, settings: AdminSettings, faults: Faults) -> None:
        if not settings.token:
            raise SettingError(
                "admin.token: not set; accepted where admin.enabled is true: "
                "text of 16 to 512 visible characters"
            )
        self.path = settings.path
        self.http_purge = settings.http_purge
        self._below = settings.path + "/"
        self._token = settings.token.encode("ascii")
        self._faults = faults

    def name(self, path: str) -> str | None:
        """What is asked for below the endpoint's path; None where the path is not there.

        `path` is the decoded one without the app's mount point.
        """
        return path.removeprefix(self._below) if path.startswith(self._below) else None

    def opens(self, authorization: Sequence[bytes]) -> bool:
        """Whether these Authorization lines bear the token (RFC 6750 §2.1)."""
        scheme, _, token = b",".join(authorization).partition(b" ")
        return self._is_token(token.strip() if scheme.lower() == SCHEME else b"")

    def explains(self, lines: Sequence[bytes]) -> bool:
        """Whether these APSPerf-Explain lines are the token."""
        return self._is_token(b",".join(lines).strip())

    def _is_token(self, given: bytes) -> bool:
        right = compare_digest(given, self._token)
        if not right:
            self._faults.counts[REFUSED] += 1
        return right

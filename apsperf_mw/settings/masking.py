"""Values as people may see them: secrets replaced by `***`."""

from __future__ import annotations

import re

HIDDEN = "***"
_SHOWN_CHARS = 80
_PORTS = re.compile(r"\d*(?:,[\w.-]+:\d+)*")
_PARAMETER = re.compile(
    r"""((?:^|[?&;#\s])
         [^=&;#?\s]{0,64}
         (?:(?:password|passwd|passphrase|pwd|secret|token|credential|signature)[^=&;#?\s]{0,64}
           |pass|key|auth|sig)
         \s*=)
        [^&]*""",
    re.IGNORECASE | re.VERBOSE,
)


def mask(text: str) -> str:
    """`text` without passwords, tokens and keys.

    Hides the password of any `://user:password@`, a user who stands alone (tokens are given so)
    and query parameters with a telling name, also within a percent-encoded inner URL. Where a
    malformed URL leaves doubt, too much is hidden rather than too little.
    """
    masked = _hidden(text)
    if "%" in masked:
        from urllib.parse import unquote

        plain = unquote(masked)
        masked_plain = _hidden(plain)
        return masked if masked_plain == plain else masked_plain
    return masked


def shown(value: object) -> str:
    """A value as an error message shows it: masked, escaped and cut short."""
    if isinstance(value, list | tuple):
        text = f"[{', '.join(_scalar(item) for item in value[:8])}]"
    else:
        text = _scalar(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return repr(mask(value))
    # Python refuses to print integers of more than 4300 digits.
    if isinstance(value, float | None) or (isinstance(value, int) and value.bit_length() <= 256):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def _hidden(text: str) -> str:
    first, *rest = _PARAMETER.sub(rf"\1{HIDDEN}", text).split("://")
    return "://".join([first, *map(_without_userinfo, rest)])


def _without_userinfo(rest: str) -> str:
    """What follows `://`, its password hidden.

    The last `@` counts, since a raw password may hold `@`, `/`, `?` and `#`.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    info, at, host = rest.rpartition("@")
    if at and ("@" in authority or ":" in authority):
        user, colon, password = info.partition(":")
        return f"{user}:{HIDDEN}@{host}" if password else f"{HIDDEN}@{host}"
    user, colon, port = authority.partition(":")
    if colon and not _PORTS.fullmatch(port) and not user.startswith("["):
        return f"{user}:{HIDDEN}{rest[len(authority) :]}"
    return rest

"""Seals: what tells that bytes were put under their key by somebody who has the secret.

A seal is a keyed BLAKE2b (RFC 7693) over version, key and value; enciphered, it is AES-256-GCM with
the key as what goes along. Each message has a key of its own, derived by 16 random bytes, so that
random nonces cannot meet however many are written.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from os import urandom
from typing import TYPE_CHECKING, Any

from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIGNED, _ENCIPHERED = b"\x01", b"\x02"
_NAME_BYTES = 4
_SEAL_BYTES = 16
_SALT_BYTES, _NONCE_BYTES = 16, 12
_HEAD_BYTES = 1 + _NAME_BYTES


class BadSeal(Exception):
    """What does not verify; the text says why, in a word."""


class Secret:
    """One key, and what is derived of it."""

    def __init__(self, text: str) -> None:
        secret = text.encode()
        self.name = _derived(secret, b"apsperf name")[:_NAME_BYTES]
        self._signing = blake2b(key=_derived(secret, b"apsperf sign"), digest_size=_SEAL_BYTES)
        self._enciphering = _derived(secret, b"apsperf cipher")

    def seal(self, key: bytes, value: bytes) -> bytes:
        """What only who has the secret can make of key and value."""
        state = self._signing.copy()
        state.update(b"%b%d:%b" % (_SIGNED, len(key), key))
        state.update(value)
        return state.digest()

    def cipher(self, salt: bytes) -> Any:
        """The cipher of one message."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(blake2b(salt, key=self._enciphering, digest_size=32).digest())


class Seals:
    """Seals and opens values; the first secret seals, all of them open.

    Raises `DriverError` where there is none, or where enciphering needs what is not installed.
    """

    def __init__(self, keys: Sequence[str], *, encrypts: bool = False) -> None:
        if not keys:
            raise DriverError(
                "a sealed driver needs a key: set sealed.keys (APSPERF_SEALED__KEYS) to secret "
                "text of 16 to 512 visible characters"
            )
        if encrypts:
            _check_cipher()
        self._encrypts = encrypts
        secrets = [Secret(key) for key in keys]
        self._newest = secrets[0]
        self._by_name = {secret.name: secret for secret in reversed(secrets)}

    def close(self, key: bytes, value: bytes) -> bytes:
        """The value with its seal, enciphered where the settings say so."""
        newest = self._newest
        if not self._encrypts:
            return b"".join((_SIGNED, newest.name, newest.seal(key, value), value))
        salt = urandom(_SALT_BYTES + _NONCE_BYTES)
        cipher = newest.cipher(salt[:_SALT_BYTES])
        hidden = cipher.encrypt(salt[_SALT_BYTES:], value, _ENCIPHERED + key)
        return b"".join((_ENCIPHERED, newest.name, salt, hidden))

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """The value; raises `BadSeal` for all that was not sealed for this key.

        What is not enciphered is not taken where it should be.
        """
        form = sealed[:1]
        if form not in (_SIGNED, _ENCIPHERED) or len(sealed) < _HEAD_BYTES + _SEAL_BYTES:
            raise BadSeal("form")
        secret = self._by_name.get(sealed[1:_HEAD_BYTES])
        if secret is None:
            raise BadSeal("key")
        if form == _ENCIPHERED:
            return _deciphered(secret, key, sealed[_HEAD_BYTES:])
        if self._encrypts:
            raise BadSeal("plain")
        value = sealed[_HEAD_BYTES + _SEAL_BYTES :]
        told = sealed[_HEAD_BYTES : _HEAD_BYTES + _SEAL_BYTES]
        if not compare_digest(told, secret.seal(key, value)):
            raise BadSeal("seal")
        return value


def _deciphered(secret: Secret, key: bytes, rest: bytes) -> bytes:
    salt, hidden = rest[: _SALT_BYTES + _NONCE_BYTES], rest[_SALT_BYTES + _NONCE_BYTES :]
    try:
        from cryptography.exceptions import InvalidTag

        cipher = secret.cipher(salt[:_SALT_BYTES])
    except ImportError:
        raise BadSeal("cipher") from None
    try:
        value: bytes = cipher.decrypt(salt[_SALT_BYTES:], hidden, _ENCIPHERED + key)
    except (InvalidTag, ValueError):
        raise BadSeal("seal") from None
    return value


def _check_cipher() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise DriverError(
            "sealed.encrypt is true, which needs pip install 'apsperf-mw[crypto]'"
        ) from None


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return blake2b(secret, digest_size=32, person=purpose).digest()

"""Keyed hashing of identifiers at the door: HMAC-SHA-256 (RFC 2104), cut to 128 bits.

A plain hash of an account number can be undone by trying all numbers; a keyed one needs
the key. The key stays under `$NEARLINE_HOME/keys/` or comes from the settings; without
it, old and new pseudonyms of one person no longer meet.
"""

import base64
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from nearline.errors import InputError
from nearline.settings import Settings

_KEY_BYTES = 32
_MIN_KEY_BYTES = 16
_PSEUDONYM_BYTES = 16


@dataclass(frozen=True, slots=True)
class Pseudonymizer:
    """Turns an identifier into `<prefix>_<22 characters>`, one and the same per key."""

    key: bytes

    def visitor(self, source: str, identifier: str) -> str:
        """Pseudonym of a cookie or device id of `source`."""
        return self._hash("v", f"{source}\x1f{identifier}")

    def _hash(self, prefix: str, text: str) -> str:
        digest = hmac.digest(self.key, f"{prefix}\x1f{text}".encode(), "sha256")
        short = base64.urlsafe_b64encode(digest[:_PSEUDONYM_BYTES])
        return f"{prefix}_{short.decode().rstrip('=')}"


def load_pseudonymizer(settings: Settings) -> Pseudonymizer:
    """The pseudonymizer of this installation; makes a random key at first use.

    Raises:
        InputError: the key is too short to protect anything, or its file is damaged.
    """
    if settings.pseudonym_key is not None:
        key = settings.pseudonym_key.get_secret_value().encode()
        if len(key) < _MIN_KEY_BYTES:
            raise InputError(
                f"NEARLINE_PSEUDONYM_KEY has less than {_MIN_KEY_BYTES} characters; "
                "set a longer secret, or unset it to have one made"
            )
        return Pseudonymizer(key)
    path = settings.keys / "pseudonym.key"
    if not path.exists():
        _write_new_key(path)
    try:
        key = bytes.fromhex(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) < _MIN_KEY_BYTES:
        # Making a new one would cut every visitor off from their past.
        raise InputError(f"the pseudonym key in {path} is damaged; restore it")
    return Pseudonymizer(key)


def _write_new_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked into place: of two processes that start together, the
    # first one's key stands and both read it.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(_KEY_BYTES) + "\n")
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()

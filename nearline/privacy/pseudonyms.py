"""Keyed hashing of identifiers at the door: HMAC-SHA-256 (RFC 2104), cut to 128 bits.

A plain hash of an account number can be undone by trying all numbers; a keyed one needs
the key. Keys stay under `$NEARLINE_HOME/keys/` or come from the settings.

Each key has an id, which events carry. After a rotation new pseudonyms are made with the
new key and no link to the old ones is kept: a visitor starts anew, which is the point of
rotating. Former keys stay until they are deleted, so that whoever asks for access or
erasure is found under each of them.
"""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from nearline.errors import InputError
from nearline.replacement import create_file
from nearline.settings import Settings

_KEY_BYTES = 32
_MIN_KEY_BYTES = 16
_PSEUDONYM_BYTES = 16


_FIRST_KEY_ID = "k1"
_KEY_ID_PATTERN = re.compile(r"k[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Pseudonymizer:
    """Turns an identifier into `<prefix>_<22 characters>`, one and the same per key."""

    key: bytes
    key_id: str = _FIRST_KEY_ID

    def visitor(self, source: str, identifier: str) -> str:
        """Pseudonym of a cookie or device id of `source`."""
        return self._hash("v", f"{source}\x1f{identifier}")

    def user(self, identifier: str) -> str:
        """Pseudonym of an account, the same for every source that it signs in to."""
        return self._hash("u", identifier)

    def contact(self, identifier: str) -> str:
        """Pseudonym of an e-mail address or of a CRM's key of a person.

        Addresses are written in many ways: case and blanks around do not count.
        """
        return self._hash("c", identifier.strip().lower())

    def key_of(self, source: str, identifier: str) -> str:
        """A key in place of an id of `source` that has not the form of one."""
        return self._hash("k", f"{source}\x1f{identifier}")

    def _hash(self, prefix: str, text: str) -> str:
        digest = hmac.digest(self.key, f"{prefix}\x1f{text}".encode(), "sha256")
        short = base64.urlsafe_b64encode(digest[:_PSEUDONYM_BYTES])
        return f"{prefix}_{short.decode().rstrip('=')}"


def load_pseudonymizer(settings: Settings) -> Pseudonymizer:
    """The pseudonymizer with the newest key; makes a random key at first use.

    Raises:
        InputError: the key is too short to protect anything, or its file is damaged.
    """
    return load_keyring(settings)[-1]


def load_keyring(settings: Settings) -> list[Pseudonymizer]:
    """All keys that identifiers were hashed with, oldest first; the last one is in use.

    Raises:
        InputError: a key is too short to protect anything, or its file is damaged.
    """
    if settings.pseudonym_key is not None:
        former = [
            _from_settings("NEARLINE_FORMER_PSEUDONYM_KEYS", key_id, secret)
            for key_id, secret in settings.former_pseudonym_keys.items()
        ]
        key_id = settings.pseudonym_key_id
        if key_id in settings.former_pseudonym_keys:
            raise InputError(
                f"key id {key_id} is both in use and in NEARLINE_FORMER_PSEUDONYM_KEYS; "
                "give the key in use an id of its own in NEARLINE_PSEUDONYM_KEY_ID"
            )
        return [
            *former,
            _from_settings("NEARLINE_PSEUDONYM_KEY", key_id, settings.pseudonym_key),
        ]
    if not _key_path(settings, _FIRST_KEY_ID).exists():
        _write_new_key(_key_path(settings, _FIRST_KEY_ID))
    key_ids = [_FIRST_KEY_ID]
    while _key_path(settings, _next_key_id(key_ids[-1])).exists():
        key_ids.append(_next_key_id(key_ids[-1]))
    return [_from_file(_key_path(settings, key_id), key_id) for key_id in key_ids]


def rotate_key(settings: Settings) -> Pseudonymizer:
    """Makes a new key; identifiers are hashed with it from the next start on.

    Raises:
        InputError: the key comes from the settings, so it is rotated there.
    """
    if settings.pseudonym_key is not None:
        raise InputError(
            "the key comes from NEARLINE_PSEUDONYM_KEY; to rotate it, move it to "
            "NEARLINE_FORMER_PSEUDONYM_KEYS under its id and set a new key with a new "
            "NEARLINE_PSEUDONYM_KEY_ID"
        )
    key_id = _next_key_id(load_pseudonymizer(settings).key_id)
    _write_new_key(_key_path(settings, key_id))
    return load_pseudonymizer(settings)


def _from_settings(name: str, key_id: str, secret: SecretStr) -> Pseudonymizer:
    key = secret.get_secret_value().encode()
    if not _KEY_ID_PATTERN.fullmatch(key_id):
        raise InputError(
            f"a key id of {name} is not of the form k1, k2, ...; rename it"
        )
    if len(key) < _MIN_KEY_BYTES:
        raise InputError(
            f"{name} has less than {_MIN_KEY_BYTES} characters; "
            "set a longer secret, or unset it to have one made"
        )
    return Pseudonymizer(key, key_id)


def _from_file(path: Path, key_id: str) -> Pseudonymizer:
    try:
        key = bytes.fromhex(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) < _MIN_KEY_BYTES:
        # Making a new one would cut every visitor off from their past.
        raise InputError(f"the pseudonym key in {path} is damaged; restore it")
    return Pseudonymizer(key, key_id)


def _key_path(settings: Settings, key_id: str) -> Path:
    name = "pseudonym" if key_id == _FIRST_KEY_ID else f"pseudonym-{key_id}"
    return settings.keys / f"{name}.key"


def _next_key_id(key_id: str) -> str:
    return f"k{int(key_id[1:]) + 1}"


def _write_new_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    create_file(path, secrets.token_hex(_KEY_BYTES) + "\n", mode=0o600)

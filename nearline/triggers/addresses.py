"""Which e-mail address is an account's: told by a file of the operator, at each sending.

Our own data hold pseudonyms alone. Addresses are read from the file into memory when it
has changed, and go into no store, no log and no message of ours.
"""

import csv
from pathlib import Path

from nearline.errors import InputError
from nearline.file_stamps import FileStamp, file_stamp


class Addresses:
    """Looks addresses up by the pseudonym of the account."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: FileStamp | None = None
        self._addresses: dict[str, str] = {}

    def of(self, user_id: str) -> str | None:
        """The address; None where the file has none.

        Raises:
            InputError: there is no such file, or it has not the two columns.
        """
        stamp = file_stamp(self._path)
        if stamp is None:
            raise InputError(
                "NEARLINE_TRIGGER_ADDRESSES names no file; give a CSV of user_id,address"
            )
        if stamp != self._stamp:
            self._addresses = _read(self._path)
            self._stamp = stamp
        return self._addresses.get(user_id)


def _read(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"user_id", "address"} <= set(rows.fieldnames or ()):
            raise InputError(
                f"{path.name}: the first line must name the columns user_id and address"
            )
        return {
            row["user_id"].strip(): row["address"].strip()
            for row in rows
            if row["user_id"] and row["address"]
        }

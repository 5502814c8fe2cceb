"""An audience as a file, whole or not at all.

Belongs here: CSV and Parquet. Not here: who is in it (`members`).
"""

import csv
import io
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.audience.members import MEMBER_SCHEMA
from nearline.replacement import replace_file

FileKind = Literal["csv", "parquet"]


def write_members(members: pa.Table, path: Path, kind: FileKind) -> None:
    """Writes `members` to `path`; in CSV, ids of one kind are separated by spaces."""
    if kind == "parquet":
        replace_file(path, lambda file: pq.write_table(members, file))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(MEMBER_SCHEMA.names)
    for row in members.to_pylist():
        writer.writerow(
            [
                row["person_id"],
                " ".join(row["user_ids"]),
                " ".join(row["contact_ids"]),
                " ".join(row["visitor_ids"]),
                f"{row['member_since'].isoformat()}Z",
            ]
        )
    replace_file(path, lambda file: file.write(text.getvalue().encode()))

"""Puts a file in place whole or not at all, for what is written as one piece.

Folders that appear whole (landings, releases) are renamed by who makes them.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def create_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file that nobody has made yet, whole or not at all.

    Of processes that start together the first one's file stands, and all read it.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=mode)
    draft.write_text(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file beside `path`, makes it durable and renames it onto `path`.

    Its folder is made where missing. A failure leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        # A web server runs as somebody else; temporary files start as the writer's alone.
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def make_durable(path: Path) -> None:
    """Waits until a file, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

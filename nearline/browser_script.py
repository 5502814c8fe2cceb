"""Scripts of ours that pages load, as they are served: without comments, gzipped, hashed.

Belongs here: the bytes and their ETag. Not here: what a script does, or HTTP.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import rjsmin  # type: ignore[import-untyped]


@dataclass(frozen=True)
class BrowserScript:
    """One script of this version; minified once in a process.

    Args:
        package: in which the file lies, such as `nearline.tracker`.
        file: its name.
    """

    package: str
    file: str

    @cached_property
    def content(self) -> bytes:
        source = files(self.package).joinpath(self.file).read_text(encoding="utf-8")
        return rjsmin.jsmin(source).encode()  # type: ignore[no-any-return]

    @cached_property
    def gzipped(self) -> bytes:
        """The same, for who accepts gzip."""
        # Without a time inside, so that every worker serves the same bytes.
        return gzip.compress(self.content, compresslevel=9, mtime=0)

    @cached_property
    def etag(self) -> str:
        """Hash of the content, in quotes as the header wants it."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

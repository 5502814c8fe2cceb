"""Reads files that people write in YAML, and says of each mistake file, field and why.

Belongs here: YAML into a form (a pydantic model), with all mistakes of a file at once. Not
here: what a form means, which is its reader's.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nearline.errors import InputError

_MOST_BYTES = 1_000_000

_F = TypeVar("_F", bound=BaseModel)


FORM_CONFIG = ConfigDict(extra="forbid", frozen=True)
"""Of every form: a field that there is not is a mistake, never passed over."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One mistake. `field` is its place in the file, empty for the file as a whole."""

    file: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.field, self.message) if part)


class FileError(InputError):
    """Files that cannot be used, with everything that is wrong in them."""

    def __init__(self, problems: Iterable[FileProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class FileRead(Generic[_F]):
    """A file's form, or None and what is wrong.

    `version` is 12 hexadecimal digits of the file's content.
    """

    form: _F | None
    version: str
    problems: tuple[FileProblem, ...]


def read_form(path: Path, model: type[_F], guide: str) -> FileRead[_F]:
    """A file as `model`; `guide` is the page that lists the fields."""
    try:
        content = path.read_bytes()
        if len(content) > _MOST_BYTES:
            return _unusable(path, f"has more than {_MOST_BYTES:,} bytes; split it")
        document = yaml.load(content, Loader=_Loader)
    except OSError as problem:
        return _unusable(path, f"cannot be read ({problem.strerror})")
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        reason = getattr(problem, "problem", None) or "cannot be read"
        return _unusable(path, f"is not YAML{line}: {reason}; mend it")
    try:
        form = model.model_validate(document)
    except ValidationError as problem:
        return FileRead(None, "", tuple(_form_problems(path.name, problem, guide)))
    return FileRead(form, hashlib.sha256(content).hexdigest()[:12], ())


def _unusable(path: Path, message: str) -> FileRead[Any]:
    return FileRead(None, "", (FileProblem(path.name, "", message),))


def _form_problems(
    file: str, problem: ValidationError, guide: str
) -> Iterable[FileProblem]:
    for error in problem.errors(include_url=False, include_input=False):
        where = list(error["loc"])
        if where[-1:] == ["[key]"]:
            yield FileProblem(
                file,
                ".".join(map(str, where[:-2])),
                "a name is lower-case letters, digits and _, a letter first; write "
                "one such as off or yes in quotes",
            )
            continue
        place = ".".join(map(str, where))
        if error["type"] == "extra_forbidden":
            message = f"there is no such field; see {guide}"
        elif error["type"] == "missing":
            message = "is missing"
        elif place == "version":
            message = "has to be 1, the form of file that this is"
        else:
            message = error["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
        yield FileProblem(file, place, message)


class _Loader(yaml.SafeLoader):
    """Refuses a name that is there twice, of which YAML keeps the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag.endswith(":str"):
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

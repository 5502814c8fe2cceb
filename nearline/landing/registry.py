"""Which formats there are: two that are code, and all that a staging folder declares."""

from pathlib import Path

from nearline.errors import InputError
from nearline.landing.declarations import find_declarations
from nearline.landing.declared_format import declared_format
from nearline.landing.formats import Format
from nearline.landing.nearline_format import NearlineFormat
from nearline.landing.rees46_format import Rees46Format
from nearline.landing.shapes import FILE_SHAPES, SHAPES
from nearline.settings import Settings

_CODED: dict[str, Format] = {
    format.name: format for format in (NearlineFormat(), Rees46Format())
}


def format_names(settings: Settings) -> list[str]:
    """Names of all formats, as `ingest --format` takes them."""
    return [*_CODED, *sorted(find_declarations(settings.dbt_project))]


def find_format(settings: Settings, name: str, path: Path | None = None) -> Format:
    """The format called `name`; of some the columns are told by the file at `path`.

    Raises:
        InputError: there is none, its declaration is at fault, or nobody can tell what
            the file's columns are.
    """
    if name in _CODED:
        return _CODED[name]
    declarations = find_declarations(settings.dbt_project)
    if name not in declarations:
        names = ", ".join(format_names(settings))
        raise InputError(f"unknown format '{name}'; use one of {names}")
    declaration = declarations[name]
    shape = declaration.shape
    if path is None or shape is None or shape not in FILE_SHAPES:
        return declared_format(declaration, SHAPES)
    mapping = mapping_beside(path, declaration.mapping)
    return declared_format(declaration, {shape: FILE_SHAPES[shape](path, mapping)})


def mapping_beside(path: Path, name: str | None) -> Path | None:
    """The file called `name` beside the data that says what its columns are, if any."""
    mapping = None if name is None else path.with_name(name)
    return mapping if mapping is not None and mapping.is_file() else None

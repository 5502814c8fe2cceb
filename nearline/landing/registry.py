"""Which formats there are: two that are code, and all that a staging folder declares."""

from nearline.errors import InputError
from nearline.landing.declarations import find_declarations
from nearline.landing.declared_format import declared_format
from nearline.landing.formats import Format
from nearline.landing.nearline_format import NearlineFormat
from nearline.landing.rees46_format import Rees46Format
from nearline.landing.shapes import SHAPES
from nearline.settings import Settings

_CODED: dict[str, Format] = {
    format.name: format for format in (NearlineFormat(), Rees46Format())
}


def format_names(settings: Settings) -> list[str]:
    """Names of all formats, as `ingest --format` takes them."""
    return [*_CODED, *sorted(find_declarations(settings.dbt_project))]


def find_format(settings: Settings, name: str) -> Format:
    """The format called `name`.

    Raises:
        InputError: there is none, or its declaration is at fault.
    """
    if name in _CODED:
        return _CODED[name]
    declarations = find_declarations(settings.dbt_project)
    if name not in declarations:
        names = ", ".join(format_names(settings))
        raise InputError(f"unknown format '{name}'; use one of {names}")
    return declared_format(declarations[name], SHAPES)

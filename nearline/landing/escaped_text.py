"""Text in which a character takes away the meaning of the one after it."""

from collections.abc import Mapping


def split_escaped(text: str, separator: str, escape: str) -> list[str]:
    """The parts of `text` between separators that no `escape` stands before.

    The parts keep their escapes: see `unescaped`.
    """
    if escape not in text:
        return text.split(separator)
    parts: list[str] = []
    held: list[str] = []
    for part in text.split(separator):
        held.append(part)
        if not is_cut_by(part, escape):
            parts.append(separator.join(held))
            held.clear()
    if held:
        parts.append(separator.join(held))
    return parts


def is_cut_by(text: str, escape: str) -> bool:
    """Whether the last character of `text` is an escape of what follows."""
    return (len(text) - len(text.rstrip(escape))) % 2 == 1


def unescaped(
    text: str, escape: str, written_out: Mapping[str, str] | None = None
) -> str:
    """`text` without its escapes.

    Args:
        written_out: letters that mean another character behind an escape.
    """
    if escape not in text:
        return text
    kept: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == escape:
            character = next(characters, escape)
            if written_out is not None:
                character = written_out.get(character, character)
        kept.append(character)
    return "".join(kept)

"""What was learnt, as files: arrays, a table of items, and JSON that says what is what.

No pickle: a file is read as numbers, whoever wrote it. There is no row of a person in
them (`learning` leaves out models that would need one).
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from nearline.recommend.catalogue import catalogue_of
from nearline.recommend.companions import PairCounts
from nearline.recommend.learning import Learnt
from nearline.recommend.models.als import AlternatingLeastSquares
from nearline.recommend.models.blend import Blend
from nearline.recommend.models.content import ContentLikeness
from nearline.recommend.models.ease import Ease
from nearline.recommend.models.item_knn import ItemNeighbours
from nearline.recommend.models.popularity import Popularity

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1

_ITEMS, _ARRAYS, _FACTS = "items.parquet", "arrays.npz", "recommender.json"
_KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        AlternatingLeastSquares,
        ContentLikeness,
        Ease,
        ItemNeighbours,
        PairCounts,
        Popularity,
    )
}
_CSR = ("data", "indices", "indptr", "shape")


def write_learnt(learnt: Learnt, folder: Path) -> None:
    """Writes three files into a folder of their own."""
    arrays: dict[str, NDArray[Any]] = {
        "counts": learnt.counts,
        "trending": learnt.trending,
        "category_affinity": learnt.category_affinity,
    }
    for number, scores in enumerate(learnt.trending_by_channel.values()):
        arrays[f"channel/{number}"] = scores
    parts = {"together": learnt.together, **learnt.blend.members}
    facts = {
        "format": FORMAT,
        "weights": dict(learnt.blend.weights),
        "trending_half_life": learnt.trending_half_life,
        "channels": list(learnt.trending_by_channel),
        "parts": {
            name: _take_apart(name, part, arrays) for name, part in parts.items()
        },
    }
    pq.write_table(learnt.catalogue.as_table(), folder / _ITEMS)
    with (folder / _ARRAYS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    (folder / _FACTS).write_text(json.dumps(facts, indent=1) + "\n")


def read_learnt(folder: Path) -> Learnt:
    """What `write_learnt` wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: the files are not of this code's making.
    """
    facts = json.loads((folder / _FACTS).read_text())
    if facts["format"] != FORMAT:
        raise ValueError("artifacts of another format")
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        parts = {
            name: _put_together(name, stated, arrays)
            for name, stated in facts["parts"].items()
        }
        together = parts.pop("together")
        return Learnt(
            catalogue=catalogue_of(pq.read_table(folder / _ITEMS)),
            blend=Blend(parts, facts["weights"], hides_seen=True),
            together=together,
            counts=arrays["counts"],
            trending=arrays["trending"],
            trending_by_channel={
                name: arrays[f"channel/{number}"]
                for number, name in enumerate(facts["channels"])
            },
            trending_half_life=facts["trending_half_life"],
            category_affinity=arrays["category_affinity"],
        )


def _take_apart(
    name: str, part: Any, arrays: "dict[str, NDArray[Any]]"
) -> dict[str, Any]:
    """Numbers of a part as JSON; its arrays go into `arrays`."""
    from scipy.sparse import issparse

    stated: dict[str, Any] = {"kind": type(part).__name__, "numbers": {}, "sparse": []}
    for field in fields(part):
        value = getattr(part, field.name)
        place = f"{name}/{field.name}"
        if issparse(value):
            stated["sparse"].append(field.name)
            arrays |= {f"{place}/{a}": np.asarray(getattr(value, a)) for a in _CSR}
        elif isinstance(value, np.ndarray):
            arrays[place] = value
        else:
            stated["numbers"][field.name] = value
    return stated


def _put_together(
    name: str, stated: Mapping[str, Any], arrays: "Mapping[str, NDArray[Any]]"
) -> Any:
    from scipy.sparse import csr_array

    kind = _KINDS[stated["kind"]]
    values = dict(stated["numbers"])
    for field in fields(kind):
        place = f"{name}/{field.name}"
        if field.name in stated["sparse"]:
            data, indices, indptr, shape = (arrays[f"{place}/{a}"] for a in _CSR)
            values[field.name] = csr_array((data, indices, indptr), shape=tuple(shape))
        elif field.name not in values:
            values[field.name] = arrays[place]
    return kind(**values)

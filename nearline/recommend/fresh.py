"""What happened since the training: pairs, trends and new items, laid over what was learnt.

One file, replaced in one step: a reader has the old one or the new one. It holds counts
and items, nothing of a visitor.
"""

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import NearlineError
from nearline.recommend.catalogue import SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Scores

FORMAT = 1


class BrokenFreshError(NearlineError):
    """The file cannot be read; what was learnt serves without it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Of the items of a training and those that came since, `new_items`, in this order.

    `lists` has a row of scores for each of `items`: what is seen together with it now.
    `trending` (as of `as_of`, seconds) and `counts` are what came since, of every item;
    `new_item_factors` are new items x factors, zeros where nobody is known who took one.
    """

    model_version: str
    as_of: float
    items: "Codes"
    lists: "csr_array"
    trending: "NDArray[np.float64]"
    counts: "NDArray[np.int64]"
    new_items: pa.Table
    new_item_factors: "Scores"

    @property
    def as_of_text(self) -> str:
        moment = datetime.fromtimestamp(self.as_of, UTC)
        return moment.isoformat(timespec="seconds")

    def laid_over(self, together: "csr_array", count: int) -> "csr_array":
        """`together` (items x items) for `count` items, with the lists in place."""
        from scipy.sparse import csr_array, vstack

        known = together.shape[0]
        together = csr_array(
            (
                together.data,
                together.indices,
                np.append(together.indptr, np.full(count - known, together.indptr[-1])),
            ),
            shape=(count, count),
        )
        if not len(self.items):
            return together
        source = np.arange(count)
        source[self.items] = count + np.arange(len(self.items))
        both: csr_array = vstack([together, self.lists], format="csr")[source]
        return both


def write_fresh(fresh: Fresh, file: IO[bytes]) -> None:
    """Writes all of it into `file`."""
    items = io.BytesIO()
    pq.write_table(fresh.new_items, items)
    facts = {
        "format": FORMAT,
        "model_version": fresh.model_version,
        "as_of": fresh.as_of,
    }
    np.savez(
        file,
        facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
        new_items=np.frombuffer(items.getvalue(), dtype=np.uint8),
        items=fresh.items,
        data=fresh.lists.data,
        indices=fresh.lists.indices,
        indptr=fresh.lists.indptr,
        trending=fresh.trending,
        counts=fresh.counts,
        new_item_factors=fresh.new_item_factors,
    )


def read_fresh(path: Path) -> Fresh:
    """What `write_fresh` wrote.

    Raises:
        BrokenFreshError: it is no such file, or of another version of the code.
    """
    from scipy.sparse import csr_array

    try:
        with np.load(path, allow_pickle=False) as found:
            facts = json.loads(found["facts"].tobytes())
            if facts["format"] != FORMAT:
                raise ValueError("format")
            count = len(found["counts"])
            items = found["items"]
            return Fresh(
                model_version=facts["model_version"],
                as_of=facts["as_of"],
                items=items,
                lists=csr_array(
                    (found["data"], found["indices"], found["indptr"]),
                    shape=(len(items), count),
                ),
                trending=found["trending"],
                counts=found["counts"],
                new_items=pq.read_table(
                    io.BytesIO(found["new_items"].tobytes()), schema=SCHEMA
                ),
                new_item_factors=found["new_item_factors"],
            )
    except FileNotFoundError:
        raise
    except Exception as problem:
        raise BrokenFreshError(
            f"{path.name} cannot be read ({type(problem).__name__})"
        ) from problem

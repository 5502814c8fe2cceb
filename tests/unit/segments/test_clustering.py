"""Clusters of persons: planted groups are found, whatever the order of the rows."""

import math
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.preprocessing import StandardScaler

from nearline.errors import InputError
from nearline.segments import (
    ASSIGNMENT_SCHEMA,
    BEHAVIOUR_COLUMNS,
    BEHAVIOUR_METRICS,
    fit_clusters,
)
from nearline.segments import clustering as clustering_module
from nearline.segments.naming import Memory

GROUPS = {
    # sessions, page views, engaged seconds, item views, carts, purchases, cents, days
    "buyer": (12, 70, 900, 30, 8, 5, 25_000, 2),
    "collector": (6, 60, 1500, 40, 6, 0, 0, 8),
    "visitor": (1, 1, 5, 0, 0, 0, 0, 25),
    "reader": (20, 40, 8000, 2, 0, 0, 0, 3),
}


def persons(
    sizes: dict[str, int], seed: int = 1, noise: float = 0.15
) -> tuple[pa.Table, list[str]]:
    """Persons of planted groups, and each one's group, in the order of their ids."""
    rng = np.random.default_rng(seed)
    groups = [group for group, size in sizes.items() for _ in range(size)]
    rng.shuffle(groups)
    centres = np.array([GROUPS[group] for group in groups], dtype=float)
    values = centres * np.exp(rng.normal(0, noise, centres.shape))
    values[:, 0] = np.maximum(values[:, 0], 1)
    columns: dict[str, object] = {
        "person_id": [f"person{index:05d}" for index in range(len(groups))]
    }
    columns |= {
        name: np.rint(values[:, index]).astype(np.int64)
        for index, name in enumerate(BEHAVIOUR_COLUMNS)
    }
    return pa.table(columns), groups


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(np.random.default_rng(seed).permutation(table.num_rows))


def typical(groups: list[str], labels: list[int]) -> tuple[list[str], list[int]]:
    """Groups and labels of those who are no outliers; of these, a few at most are."""
    assert labels.count(-1) <= len(labels) // 20
    pairs = [(g, n) for g, n in zip(groups, labels, strict=True) if n >= 0]
    return [group for group, _ in pairs], [label for _, label in pairs]


SIZES = {"buyer": 40, "collector": 60, "visitor": 90, "reader": 30}


def test_planted_groups_are_found_again_and_the_largest_is_cluster_0() -> None:
    table, groups = persons(SIZES)
    clustering = fit_clusters(table, seed=7)
    model = clustering.model
    assert model is not None
    labels = clustering.assignment["cluster"].to_pylist()
    groups, numbers = typical(groups, labels)
    assert adjusted_rand_score(groups, numbers) == 1.0
    assert model.k == 4
    assert list(model.sizes) == [numbers.count(number) for number in range(4)]
    assert dict(zip(numbers, groups, strict=True)) == {
        0: "visitor",
        1: "collector",
        2: "buyer",
        3: "reader",
    }


def test_shuffled_rows_give_the_same_model_and_the_same_assignment() -> None:
    table, _ = persons(SIZES, noise=0.8)
    first = fit_clusters(table, seed=7)
    for seed in (1, 2):
        again = fit_clusters(shuffled(table, seed), seed=7)
        assert again.model == first.model
        assert again.assignment.equals(first.assignment)


def test_equal_sized_clusters_are_numbered_the_same_from_any_row_order() -> None:
    table, groups = persons(dict.fromkeys(SIZES, 30))
    first = fit_clusters(table, seed=7)
    again = fit_clusters(shuffled(table, 3), seed=8)
    assert first.model is not None
    assert first.model.sizes == (30, 30, 30, 30)
    # Ties go by descending centre, session_count first.
    sessions = [centroid["session_count"] for centroid in first.model.centroids]
    assert all(left > right for left, right in pairwise(sessions))
    assert again.assignment.equals(first.assignment)
    labels = first.assignment["cluster"].to_pylist()
    assert adjusted_rand_score(*typical(groups, labels)) == 1.0


def test_the_threads_of_the_machine_do_not_change_the_result() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_clustering import SIZES, fit_clusters, persons\n"
        "c = fit_clusters(persons(SIZES, noise=0.8)[0], seed=7)\n"
        "print(c.model, c.assignment.to_pydict())\n"
    )
    here = os.path.dirname(__file__)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, here],
            env=os.environ | {"OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for count in ("1", "2")
    }
    assert len(outputs) == 1


def test_k_is_the_one_with_the_highest_silhouette_on_scaled_metrics() -> None:
    table, _ = persons(SIZES, noise=0.5)
    clustering = fit_clusters(table, seed=7, k_min=2, k_max=5)
    model = clustering.model
    assert model is not None
    assert set(model.silhouette_by_k) == {2, 3, 4, 5}
    assert model.silhouette_by_k[model.k] == max(model.silhouette_by_k.values())
    # Oracle: scaled here by hand, scored by scikit-learn.
    columns = {name: table[name].to_numpy().astype(float) for name in BEHAVIOUR_COLUMNS}
    sessions = columns["session_count"]
    per_session = {
        "page_views_per_session": columns["page_view_count"] / sessions,
        "engaged_seconds_per_session": columns["engaged_seconds"] / sessions,
    }
    metrics = np.column_stack([(columns | per_session)[m] for m in BEHAVIOUR_METRICS])
    metrics[:, :-1] = np.log1p(metrics[:, :-1])
    labels = clustering.assignment["cluster"].to_numpy()
    points = StandardScaler().fit_transform(metrics[labels >= 0])
    assert model.silhouette_by_k[model.k] == pytest.approx(
        silhouette_score(points, labels[labels >= 0]), abs=1e-5
    )


def test_centroids_are_means_of_the_members_in_original_units() -> None:
    table, _ = persons(SIZES)
    clustering = fit_clusters(table, seed=7)
    assert clustering.model is not None
    labels = clustering.assignment["cluster"]
    for number, centroid in enumerate(clustering.model.centroids):
        members = table.filter(pc.equal(labels, number))
        assert list(centroid) == list(BEHAVIOUR_METRICS)
        assert centroid["revenue_cents"] == pytest.approx(
            pc.mean(members["revenue_cents"]).as_py()
        )
        pages = pc.divide(
            members["page_view_count"].cast("double"), members["session_count"]
        )
        assert centroid["page_views_per_session"] == pytest.approx(
            pc.mean(pages).as_py()
        )


def test_every_cluster_gets_a_sentence_of_its_most_telling_metrics() -> None:
    table, _ = persons(SIZES)
    model = fit_clusters(table, seed=7).model
    assert model is not None
    assert len(model.sentences) == model.k
    # The buyers are cluster 2; nobody else buys.
    assert model.sentences[2].startswith("40 persons (18 %): far more ")
    assert "purchases" in model.sentences[2]
    assert model.names[2] == "cluster_2_high_value_many_purchases"


def test_assignment_has_the_fixed_schema_and_silhouettes_within_their_range() -> None:
    table, _ = persons(SIZES, noise=0.8)
    assignment = fit_clusters(table, seed=7).assignment
    assert assignment.schema.equals(ASSIGNMENT_SCHEMA)
    assert assignment["person_id"].to_pylist() == table["person_id"].to_pylist()
    assert set(assignment["fitted_on_count"].to_pylist()) == {table.num_rows}
    typical = assignment.filter(pc.greater_equal(assignment["cluster"], 0))
    outliers = assignment.filter(pc.equal(assignment["cluster"], -1))
    assert outliers["silhouette"].null_count == outliers.num_rows > 0
    assert outliers["segment"].unique().to_pylist() == ["outlier"]
    silhouettes = typical["silhouette"].to_numpy()
    assert np.all((silhouettes >= -1) & (silhouettes <= 1))
    # An own centre that is nearest is what K-Means means.
    assert np.all(silhouettes >= -1e-3)


def test_more_persons_than_the_sample_are_all_assigned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clustering_module, "SILHOUETTE_SAMPLE_SIZE", 80)
    table, groups = persons(SIZES)
    clustering = fit_clusters(table, seed=7)
    again = fit_clusters(shuffled(table, 2), seed=7)
    labels = clustering.assignment["cluster"].to_pylist()
    assert adjusted_rand_score(*typical(groups, labels)) == 1.0
    assert again.assignment.equals(clustering.assignment)


def test_types_of_columns_may_be_decimal_dictionary_or_large() -> None:
    table, _ = persons(SIZES)
    other = table.set_column(
        table.column_names.index("revenue_cents"),
        "revenue_cents",
        table["revenue_cents"].cast(pa.decimal128(38, 0)),
    ).set_column(0, "person_id", table["person_id"].dictionary_encode())
    assert fit_clusters(other, seed=7).model == fit_clusters(table, seed=7).model


def test_refunds_and_persons_without_a_session_are_clustered_too() -> None:
    table, _ = persons(SIZES)
    rows = table.to_pylist()
    rows[0]["revenue_cents"] = -50_000
    rows[1]["session_count"] = 0
    model = fit_clusters(pa.Table.from_pylist(rows), seed=7).model
    assert model is not None
    assert all(
        math.isfinite(value)
        for centroid in model.centroids
        for value in centroid.values()
    )


def test_a_few_persons_like_nobody_else_move_no_centre() -> None:
    table, _ = persons({"buyer": 60, "visitor": 60, "reader": 60})
    without = fit_clusters(table, seed=7)
    oddities = [
        dict.fromkeys(BEHAVIOUR_COLUMNS, 10**6) | {"person_id": f"odd{number}"}
        for number in range(3)
    ]
    with_them = fit_clusters(
        pa.concat_tables([table, pa.Table.from_pylist(oddities, table.schema)]), seed=7
    )
    assert without.model is not None
    assert with_them.model is not None
    found = dict(
        zip(
            with_them.assignment["person_id"].to_pylist(),
            with_them.assignment["segment"].to_pylist(),
            strict=True,
        )
    )
    assert [found[f"odd{number}"] for number in range(3)] == ["outlier"] * 3
    assert with_them.model.names == without.model.names
    for one, other in zip(
        with_them.model.centroids, without.model.centroids, strict=True
    ):
        # The odd ones stretch the scale on which others are outliers, hence "about".
        assert one == pytest.approx(other, rel=0.05)


def test_k_stays_where_another_is_hardly_better() -> None:
    table, _ = persons(SIZES, noise=0.8)
    first = fit_clusters(table, seed=7).model
    assert first is not None
    by_k = first.silhouette_by_k
    assert (first.k, first.is_k_kept) == (3, False)
    assert by_k[3] - by_k[4] < clustering_module.K_SWITCH_MARGIN < by_k[3] - by_k[6]
    kept = fit_clusters(table, seed=7, before=Memory(k=4)).model
    left = fit_clusters(table, seed=7, before=Memory(k=6)).model
    assert kept is not None
    assert left is not None
    assert (kept.k, kept.is_k_kept) == (4, True)
    assert (left.k, left.is_k_kept) == (3, False)


def test_clusters_keep_their_names_when_their_order_by_size_changes() -> None:
    first = fit_clusters(persons(SIZES)[0], seed=7).model
    assert first is not None
    turned = {"buyer": 90, "collector": 40, "visitor": 30, "reader": 60}
    table, groups = persons(turned, seed=2)
    second = fit_clusters(table, seed=7, before=first.memory)
    names = second.assignment["segment"].to_pylist()
    of_group = {
        (group, name)
        for group, name in zip(groups, names, strict=True)
        if name != "outlier"
    }
    assert of_group == {
        ("visitor", first.names[0]),
        ("collector", first.names[1]),
        ("buyer", first.names[2]),
        ("reader", first.names[3]),
    }


def replaced(table: pa.Table, name: str, value: object) -> pa.Table:
    rows = table.to_pylist()
    rows[3][name] = value
    return pa.Table.from_pylist(rows)


ENOUGH, _ = persons({"buyer": 20, "visitor": 20})


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (ENOUGH.slice(0, 0), "0 persons are too few for 3 clusters; at least 30"),
        (ENOUGH.slice(0, 29), "29 persons are too few for 3 clusters"),
        (replaced(ENOUGH, "recency_days", math.nan), "recency_days is not a number"),
        (replaced(ENOUGH, "purchase_count", None), "purchase_count is not a number"),
        (replaced(ENOUGH, "engaged_seconds", math.inf), "engaged_seconds is not"),
        (replaced(ENOUGH, "person_id", None), "person_id is null in 1 rows"),
        (replaced(ENOUGH, "person_id", "person00000"), "person_id repeats"),
    ],
)
def test_data_that_cannot_be_clustered_gives_no_rows_and_a_reason(
    table: pa.Table, reason: str
) -> None:
    clustering = fit_clusters(table, seed=7)
    assert clustering.model is None
    assert clustering.assignment.num_rows == 0
    assert clustering.assignment.schema.equals(ASSIGNMENT_SCHEMA)
    assert clustering.reason is not None
    assert clustering.reason.startswith(reason)
    assert "person00000" not in clustering.reason


@pytest.mark.parametrize("distinct_count", [1, 2])
def test_persons_who_are_all_alike_give_no_rows_and_a_reason(
    distinct_count: int,
) -> None:
    columns = {name: [5] * 40 for name in BEHAVIOUR_COLUMNS}
    columns["purchase_count"] = [index % distinct_count for index in range(40)]
    table = pa.table({"person_id": [f"p{index}" for index in range(40)], **columns})
    clustering = fit_clusters(table, seed=7)
    assert clustering.model is None
    assert clustering.reason is not None
    assert clustering.reason.startswith(
        f"the persons show only {distinct_count} different behaviours"
    )


@pytest.mark.filterwarnings("error")
def test_no_more_clusters_are_tried_than_there_are_behaviours() -> None:
    columns = {name: [5] * 40 for name in BEHAVIOUR_COLUMNS}
    columns["purchase_count"] = [index % 4 for index in range(40)]
    table = pa.table({"person_id": [f"p{index}" for index in range(40)], **columns})
    model = fit_clusters(table, seed=7).model
    assert model is not None
    assert model.silhouette_by_k[4] == 1.0
    assert (max(model.silhouette_by_k), model.k) == (4, 4)
    # By hand: equal sizes, so the highest purchase count comes first.
    assert [centroid["purchase_count"] for centroid in model.centroids] == [3, 2, 1, 0]


def test_a_missing_column_or_a_wrong_type_is_named() -> None:
    with pytest.raises(InputError, match="lacks column recency_days"):
        fit_clusters(ENOUGH.drop_columns(["recency_days"]), seed=7)
    texts = pa.array(["many"] * ENOUGH.num_rows)
    with pytest.raises(InputError, match="session_count is string"):
        fit_clusters(ENOUGH.set_column(1, "session_count", texts), seed=7)


@pytest.mark.parametrize(("k_min", "k_max"), [(1, 5), (4, 3)])
def test_an_impossible_range_of_k_is_refused(k_min: int, k_max: int) -> None:
    with pytest.raises(InputError, match="k_min"):
        fit_clusters(ENOUGH, seed=7, k_min=k_min, k_max=k_max)

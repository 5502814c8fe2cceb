"""What a run says of everybody: who is scored again, and the same as in a request."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from nearline.feature_views import DescribedView, Feature
from nearline.models import ModelFacts, promote, register
from nearline.propensity.inputs import Input
from nearline.propensity.latest_scores import (
    PUBLISHED_TABLE,
    SCORES_FILE,
    TARGET,
    LatestScores,
    write_latest_scores,
)
from nearline.propensity.learning import told_in_time
from nearline.propensity.predictor import Network, Predictor, write_predictor
from nearline.propensity.scoring import PropensityScorer
from nearline.propensity.targets import SERVICE
from nearline.settings import Settings

NOON = datetime(2026, 5, 10, 12, 0, 0, 500_000)
DAY = timedelta(days=1)
INPUTS = (
    Input("view_count", "view_count", "number"),
    Input("last_purchase_age", "last_purchase_at", "age"),
    Input("last_items_length", "last_items", "length"),
    Input("channel=direct", "channel", "word", "direct"),
)


def view(
    model: str, *features: Feature, ttl_days: int = 90, **fields: Any
) -> DescribedView:
    said: dict[str, Any] = {
        "version": 1,
        "services": (SERVICE,),
        "freshness_seconds": 5.0,
        **fields,
    }
    alias = model.removeprefix("ftr_").replace("__", "_")
    return DescribedView(
        model=model,
        view=f"{alias}_v{said['version']}",
        alias=alias,
        entity="visitor",
        join_key="visitor_id",
        ttl_days=ttl_days,
        window=None,
        features=features,
        **said,
    )


VIEWS = (
    view(
        "ftr_visitor__counts",
        Feature("view_count", "bigint"),
        Feature("channel", "varchar"),
        ttl_days=2,
    ),
    view(
        "ftr_visitor__recent",
        Feature("last_purchase_at", "timestamp"),
        Feature("last_items", "varchar[]"),
    ),
    # Neither is an input: no column of it is even there.
    view(
        "ftr_visitor__told_by_runs",
        Feature("last_items", "varchar[]"),
        freshness_seconds=None,
    ),
    view("ftr_visitor__of_others", Feature("view_count", "bigint"), services=()),
)


class Shop:
    """Feature tables as a run has built them, the registry, and the release before."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self.published = home / "releases" / "before"
        self.published.mkdir(parents=True)
        self.warehouse = duckdb.connect()
        for columns in (
            "int_features__clock (known_up_to timestamp)",
            "int_events__feature_facts (visitor_id varchar, received_at timestamp)",
            "dim_consents (visitor_id varchar, has_personalization_consent boolean)",
            "ftr_visitor__counts (visitor_id varchar, event_timestamp timestamp, "
            "view_count bigint, channel varchar)",
            "ftr_visitor__recent (visitor_id varchar, event_timestamp timestamp, "
            "last_purchase_at timestamp, last_items varchar[])",
        ):
            self.warehouse.execute(f"create table {columns}")
        self.reach(NOON)

    def reach(self, moment: datetime | None) -> None:
        self.warehouse.execute("delete from int_features__clock")
        self.insert("int_features__clock", moment)

    def insert(self, table: str, *row: Any) -> None:
        places = ", ".join("?" for _ in row)
        self.warehouse.execute(f"insert into {table} values ({places})", list(row))

    def visitor(
        self,
        visitor_id: str,
        seen_at: datetime = NOON,
        *,
        view_count: int = 3,
        is_allowed: bool = True,
        changed_at: datetime | None = None,
    ) -> None:
        self.insert("int_events__feature_facts", visitor_id, seen_at)
        self.insert("dim_consents", visitor_id, is_allowed)
        self.insert(
            "ftr_visitor__counts",
            visitor_id,
            changed_at or seen_at,
            view_count,
            "direct",
        )

    def promote(self, predictor: Predictor) -> int:
        card = register(
            self.settings.models,
            TARGET.model,
            ModelFacts("r1", "0.1.0", None, None, 7, {}, {}),
            lambda folder: write_predictor(predictor, folder),
            NOON.replace(tzinfo=UTC),
        )
        moment = NOON.replace(tzinfo=UTC)
        promote(self.settings.models, TARGET.model, card.version, "test", moment)
        return card.version

    def score(self) -> LatestScores:
        return write_latest_scores(
            self.warehouse, self.published, self.settings.models, VIEWS
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        found = pq.read_table(self.settings.models / SCORES_FILE).to_pylist()
        return {row["visitor_id"]: row for row in found}

    def publish(
        self, rows: Iterable[tuple[str, datetime, float | None, int | None]]
    ) -> None:
        with duckdb.connect() as connection:
            connection.execute(
                "create table scores (visitor_id varchar, event_timestamp timestamp, "
                "purchase_propensity_7d double, "
                "purchase_propensity_7d_model_version bigint)"
            )
            connection.executemany(
                "insert into scores values (?, ?, ?, ?)", [list(row) for row in rows]
            )
            path = self.published / f"{PUBLISHED_TABLE}.parquet"
            connection.execute(f"copy scores to '{path}' (format parquet)")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def predictor(shift: float = 0.0) -> Predictor:
    """A logistic regression in which every input counts, and so does what is missing."""
    count = len(INPUTS)
    scorer = Network(
        is_logged=np.array([True, True, False, False]),
        means=np.array([1.0, 8.0, 0.5, 0.5]),
        scales=np.array([0.7, 2.0, 1.0, 0.5]),
        missing=np.arange(count, dtype=np.int32),
        weights=(np.array([[0.3], [-0.2], [0.1], [0.4], [1.0], [-2.0], [0.5], [3.0]]),),
        biases=(np.array([-1.0]),),
    )
    return Predictor(INPUTS, scorer, 1.1, shift)


def test_scores_are_those_that_a_request_gets_of_the_same_features(shop: Shop) -> None:
    shop.visitor("v_ada", view_count=4)
    bought_at = NOON - timedelta(hours=7, microseconds=3)
    for moment, items in ((NOON - DAY, ["old"]), (NOON, ["a", "b"])):
        shop.insert("ftr_visitor__recent", "v_ada", moment, bought_at, items)
    shop.visitor("v_bob", view_count=9)
    # Of this view nothing is known any more: its limit is over.
    shop.visitor("v_eve", changed_at=NOON - 3 * DAY)
    version = shop.promote(predictor())

    said = shop.score()

    scorer = PropensityScorer(shop.settings, TARGET)
    nothing: dict[str, Any] = {"view_count": None, "channel": None}
    at = NOON.replace(tzinfo=UTC)
    for visitor, values in {
        "v_ada": {
            "view_count": 4,
            "channel": "direct",
            # As the store has it, in whole seconds.
            "last_purchase_at": bought_at.replace(microsecond=0, tzinfo=UTC),
            "last_items": ["a", "b"],
        },
        "v_bob": {"view_count": 9, "channel": "direct"},
        "v_eve": nothing,
    }.items():
        row = shop.rows()[visitor]
        expected = scorer.score(values, at)
        assert row["probability"] == pytest.approx(expected.probability, abs=1e-15)
        assert row["model_version"] == expected.version == version
        assert row["scored_at"] == row["known_up_to"] == NOON
    mean = np.mean([row["probability"] for row in shop.rows().values()])
    assert said == LatestScores(3, 0, version, pytest.approx(mean))
    assert len({row["probability"] for row in shop.rows().values()}) == 3


def test_models_learn_from_nothing_that_runs_alone_tell() -> None:
    of_runs = view(
        "ftr_visitor__propensity", Feature("score", "double"), freshness_seconds=None
    )
    names = ["view_count", "score", "channel"]

    assert told_in_time(names, [*VIEWS[:2], of_runs]) == ["view_count", "channel"]


def test_scored_again_is_whom_something_changed_of(shop: Shop) -> None:
    before = NOON - timedelta(hours=2)
    version = shop.promote(predictor())
    for visitor in ("v_same", "v_day_old", "v_other_version"):
        shop.visitor(visitor, NOON - 5 * DAY)
    shop.visitor("v_acted", NOON - timedelta(hours=1))
    shop.visitor("v_expiry", NOON - DAY, changed_at=NOON - timedelta(hours=1))
    shop.visitor("v_new")
    shop.visitor("v_long_ago", NOON - 31 * DAY)
    shop.visitor("v_unasked", is_allowed=False)
    shop.publish(
        [
            ("v_same", NOON - 3 * DAY, 0.9, version),
            ("v_same", before, 0.1, version),
            ("v_day_old", NOON - DAY, 0.1, version),
            ("v_other_version", before, 0.1, version + 1),
            ("v_acted", before, 0.1, version),
            ("v_expiry", before, 0.1, version),
        ]
    )

    said = shop.score()

    assert shop.rows().keys() == {
        "v_day_old", "v_other_version", "v_acted", "v_expiry", "v_new",
    }  # fmt: skip
    assert said.scored_count == 5


def test_who_refuses_is_said_to_be_unknown_once(shop: Shop) -> None:
    shop.promote(predictor())
    shop.visitor("v_refused", is_allowed=False)
    shop.visitor("v_refused_before", is_allowed=False)
    shop.publish(
        [
            ("v_refused", NOON - DAY, 0.1, 1),
            ("v_refused_before", NOON - DAY, 0.1, 1),
            ("v_refused_before", NOON - DAY / 2, None, None),
        ]
    )

    said = shop.score()

    assert shop.rows() == {
        "v_refused": {
            "visitor_id": "v_refused",
            "scored_at": NOON,
            "known_up_to": NOON,
            "probability": None,
            "model_version": None,
        }
    }
    assert (said.scored_count, said.withdrawn_count) == (0, 1)
    assert said.mean_probability is None


def test_a_run_whose_data_reach_no_further_speaks_of_a_moment_of_its_own(
    shop: Shop,
) -> None:
    shop.visitor("v_ada")
    version = shop.promote(predictor())
    shop.publish([("v_ada", NOON, 0.1, version)])
    shop.score()
    assert shop.rows() == {}

    version = shop.promote(predictor(shift=1.0))
    shop.score()

    row = shop.rows()["v_ada"]
    assert row["scored_at"] == NOON + timedelta(microseconds=1)
    assert (row["known_up_to"], row["model_version"]) == (NOON, version)


def test_without_a_champion_nobody_is_scored_and_the_reason_is_said(
    shop: Shop,
) -> None:
    shop.visitor("v_ada")

    said = shop.score()

    assert said == LatestScores(
        0, 0, None, None, (), "no version of propensity_7d was promoted yet"
    )
    assert shop.rows() == {}


def test_a_damaged_champion_leaves_the_scores_to_the_one_before(shop: Shop) -> None:
    shop.visitor("v_ada")
    first = shop.promote(predictor())
    second = shop.promote(predictor(shift=1.0))
    damaged = shop.settings.models / TARGET.model / f"v{second}" / "predictor.npz"
    damaged.write_bytes(b"torn")

    said = shop.score()

    assert said.model_version == first
    assert said.problems
    assert shop.rows()["v_ada"]["model_version"] == first


def test_a_shop_without_data_has_no_scores(shop: Shop) -> None:
    shop.promote(predictor())
    shop.reach(None)

    said = shop.score()

    assert (said.scored_count, said.mean_probability) == (0, None)
    assert shop.rows() == {}


def test_a_model_of_features_that_are_gone_scores_all_the_same(shop: Shop) -> None:
    shop.visitor("v_ada")
    gone = tuple(replace(one, feature=f"gone_{one.feature}") for one in INPUTS)
    shop.promote(replace(predictor(), inputs=gone))

    shop.score()

    scorer = PropensityScorer(shop.settings, TARGET)
    of_nothing = scorer.score({}, NOON.replace(tzinfo=UTC)).probability
    assert shop.rows()["v_ada"]["probability"] == pytest.approx(of_nothing, abs=1e-15)

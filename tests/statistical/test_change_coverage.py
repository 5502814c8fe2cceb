"""Do the page's intervals of change cover what is true as often as they say?

Shops are simulated whose persons differ in taste and come back in both periods: what
makes an interval over independent sessions too narrow.
"""

import numpy as np
import pytest

from nearline.dashboards.statistics import (
    CURRENT,
    PREVIOUS,
    PersonMoments,
    change_of_ratio,
    change_of_total,
)

SHOP_COUNT = 1_000


def simulated_moments(seed: int) -> PersonMoments:
    rng = np.random.default_rng(seed)
    person_count = rng.poisson(600)
    taste = rng.beta(1.0, 9.0, person_count)
    visits_a_period = rng.gamma(0.7, 4.0, person_count)
    measures, columns = [], []
    for period in (CURRENT, PREVIOUS):
        sessions = rng.poisson(visits_a_period)
        measures += [("bought", period), ("sessions", period)]
        columns += [rng.binomial(sessions, taste), sessions]
    persons = np.column_stack(columns).astype(float)
    products = persons.T @ persons
    return PersonMoments(
        person_count=person_count,
        totals=dict(zip(measures, persons.sum(axis=0), strict=True)),
        products={
            (one, other): products[row, column]
            for row, one in enumerate(measures)
            for column, other in enumerate(measures)
        },
    )


@pytest.mark.parametrize("seed", [20261116])
def test_intervals_of_change_cover_no_change_as_often_as_they_say(seed: int) -> None:
    covered = {"rate": 0, "total": 0}
    for shop in range(SHOP_COUNT):
        moments = simulated_moments(seed + shop)
        rate = change_of_ratio(moments, "bought", "sessions", is_proportion=True)
        total = change_of_total(moments, "sessions")
        assert rate is not None
        assert total is not None
        covered["rate"] += rate.is_noise
        covered["total"] += total.is_noise
    # 95 % within four standard errors of a thousand shops.
    for count in covered.values():
        assert count / SHOP_COUNT == pytest.approx(0.95, abs=0.028)

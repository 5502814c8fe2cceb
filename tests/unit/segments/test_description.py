"""Sentences about clusters; figures derived by hand."""

from nearline.segments.description import describe

METRICS = ("session_count", "purchase_count", "revenue_cents", "recency_days")


def test_the_strongest_deviations_come_first_and_at_most_three() -> None:
    assert describe(
        METRICS, [0.4, 1.5, 1.2, -0.5], [4, 6, 32_000, 3.5], [3, 1, 5_000, 12], 50, 200
    ) == (
        "50 persons (25 %): far more purchases (6.00 against 1.00), "
        "far more cents of revenue (32,000 against 5,000), "
        "fewer days since last seen (3.50 against 12.0)."
    )


def test_a_cluster_like_everybody_is_said_to_be_average() -> None:
    assert describe(METRICS, [0.1] * 4, [2] * 4, [1] * 4, 1_200, 2_400) == (
        "1,200 persons (50 %): close to the average person in everything."
    )


def test_a_metric_whose_figures_contradict_its_deviation_is_left_out() -> None:
    sentence = describe(METRICS, [0.5, 0.9, 0, 0], [4, 1, 0, 0], [3, 2, 0, 0], 10, 100)
    assert sentence == "10 persons (10 %): more sessions (4.00 against 3.00)."

"""Groups drawn together, against closed forms and by hand."""

import math

import pytest

from nearline.experiments.effects import draw_together


def test_groups_that_differ_by_chance_alone_are_drawn_to_their_mean() -> None:
    # Weights 1 and 1/4: mean (1 * 0 + 0.25 * 1) / 1.25 = 0.2; Q = 0.04 + 0.16 = 0.2 < 1.
    drawn, common = draw_together([(0.0, 1.0), (1.0, 2.0)])

    assert common.mean == pytest.approx(0.2)
    assert common.spread == 0
    assert [one.estimate for one in drawn] == pytest.approx([0.2, 0.2])
    assert drawn[0].standard_error == pytest.approx(1.25**-0.5)


def test_groups_that_differ_keep_most_of_their_difference() -> None:
    # Equal errors 1: Q = 2 * 25 = 50; scale = 2 - 2 / 2 = 1; spread^2 = 50 - 1 = 49.
    drawn, common = draw_together([(0.0, 1.0), (10.0, 1.0)])

    assert common.spread == pytest.approx(7)
    # Each keeps 49 / 50 of its distance of 5 from the mean.
    assert [one.estimate for one in drawn] == pytest.approx([0.1, 9.9])
    # Its own error, kept, and a fiftieth of that of the mean, whose square is 50 / 2.
    assert drawn[0].standard_error == pytest.approx(math.sqrt(0.98 + 0.02**2 * 25))
    # Chi-square of 50 with 1 degree of freedom: twice the normal tail beyond sqrt(50).
    assert common.p_value == pytest.approx(math.erfc(5))


def test_order_of_groups_changes_nothing() -> None:
    effects = [(0.3, 0.1), (-0.2, 0.4), (0.05, 0.2)]

    one, common = draw_together(effects)
    other, again = draw_together(effects[::-1])

    assert one == other[::-1]
    assert common == again

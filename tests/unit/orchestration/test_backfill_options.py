"""Options of a backfill: what they mean, and words for those that mean nothing."""

from datetime import date

import pytest

from nearline.errors import InputError
from orchestration.lib.backfill import Backfill, read_backfill

TODAY = date(2026, 3, 10)


def test_days_and_source_become_the_vars_of_dbt() -> None:
    asked = read_backfill("2026-03-01", "2026-03-10", "shop_web", False, TODAY)

    assert asked == Backfill(date(2026, 3, 1), TODAY, "shop_web")
    assert asked.as_vars() == {
        "backfill_from": "2026-03-01",
        "backfill_to": "2026-03-10",
        "backfill_source": "shop_web",
    }


def test_nothing_asked_is_no_backfill() -> None:
    assert read_backfill(None, None, None, True, TODAY) is None


@pytest.mark.parametrize(
    ("first", "last", "source", "full_refresh", "words"),
    [
        ("2026-03-05", "2026-03-04", None, False, "is after --to 2026-03-04"),
        ("2026-03-05", "2026-03-11", None, False, "in the future.*2026-03-10"),
        ("2026-03-05", None, None, False, "--from needs --to"),
        (None, "2026-03-05", None, False, "--to needs --from"),
        (None, None, "shop_web", False, "--source needs the days"),
        ("5 March", "2026-03-05", None, False, "--from is not a date such as"),
        ("2026-03-01", "20260305", None, False, "--to is not a date such as"),
        ("2026-02-30", "2026-03-05", None, False, "--from is not a date such as"),
        ("2026-03-01", "2026-03-05", None, True, "leave out --full-refresh"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_words(
    first: str | None,
    last: str | None,
    source: str | None,
    full_refresh: bool,
    words: str,
) -> None:
    with pytest.raises(InputError, match=words):
        read_backfill(first, last, source, full_refresh, TODAY)

"""What the processor does with events, time, releases and faults."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from nearline.errors import LockedError, NearlineError
from nearline.identity.unlinks import Link, unlink
from nearline.live.processor import Processor
from nearline.privacy.suppression import suppress
from nearline.publication.live_files import LiveModel
from nearline.settings import Settings
from tests.unit.live.small_site import NOON, SmallSite, run_until_idle, small_site


@pytest.fixture
def site(tmp_path: Path) -> SmallSite:
    return small_site(tmp_path / "home")


def test_three_views_are_three_and_after_six_idle_minutes_none(site: SmallSite) -> None:
    with site.processor() as processor:
        site.view_page("1", "2", "3")
        run_until_idle(processor)
        assert site.pages("ada") == [3]

        site.pass_time(minutes=6)
        [batch] = run_until_idle(processor)

    assert (batch.records, batch.timers) == (0, 1)
    assert site.pages("ada") == [0]


@pytest.mark.parametrize("processors", [None, 1, 4])
def test_views_are_the_same_however_many_processors_make_them(
    site: SmallSite, processors: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    site.arrive(
        site.event("1", "phone", user_id="u_0000ada", item_id="hat"),
        site.event("2", "laptop", user_id="u_0000ada"),
        site.event("3", "eve"),
    )
    site.process()
    site.pass_time(minutes=61)
    site.process()

    assert site.person_pages("phone", "laptop", "eve") == [2, 2, 1]
    assert site.pages("phone", "laptop", "eve") == [0, 0, 0]
    assert site.online("item__views", "hat") == [1]


def test_event_sent_again_counts_once(site: SmallSite) -> None:
    again = site.event("1", "ada")
    site.arrive(again, again)
    site.process()
    site.pass_time(seconds=5)
    site.arrive(again | {"received_at": site.now.isoformat()})

    [batch] = site.process()

    assert (batch.records, batch.repeated, batch.facts) == (1, 1, 0)
    assert site.pages("ada") == [1]


def test_event_that_features_may_not_use_is_not_used_when_sent_again_either(
    site: SmallSite,
) -> None:
    refused = site.event("1", "ada", consent_personalization=False)
    site.arrive(refused)
    [first] = site.process()
    site.arrive(refused | {"consent_personalization": True})
    [second] = site.process()

    assert (first.unused, second.repeated) == (1, 1)
    assert site.pages("ada") == [None]


def test_what_is_no_event_is_counted_and_the_ones_behind_it_go_on(
    site: SmallSite,
) -> None:
    site.arrive(
        b"not json",
        b"[1, 2]",
        site.event("1", "ada", revenue_cents="a lot"),
        site.event("2", "ada"),
    )

    [batch] = site.process()

    assert (batch.records, batch.rejected, batch.facts) == (4, 3, 1)
    assert site.pages("ada") == [1]


def test_late_event_counts_from_its_arrival_and_leaves_by_its_occurrence(
    site: SmallSite,
) -> None:
    late = site.event("1", "ada")
    with site.processor() as processor:
        site.pass_time(minutes=3)
        site.view_page("2")
        run_until_idle(processor)
        before = site.pages("ada")
        site.arrive(late | {"received_at": site.now.isoformat()})
        run_until_idle(processor)
        after = site.pages("ada")
        site.pass_time(minutes=2, seconds=1)
        run_until_idle(processor)

    assert (before, after) == ([1], [2])
    assert site.pages("ada") == [1]


def test_item_in_hourly_tiles_is_told_at_the_end_of_the_hour(site: SmallSite) -> None:
    with site.processor() as processor:
        site.arrive(site.event("1", "ada", item_id="hat"))
        site.pass_time(minutes=1)
        site.arrive(site.event("2", "eve", item_id="hat"))
        run_until_idle(processor)
        before = site.online("item__views", "hat")
        site.pass_time(hours=1)
        run_until_idle(processor)

    assert before == [1]  # the first came at the very end of an hour
    assert site.online("item__views", "hat") == [2]


def test_a_backlog_is_taken_in_batches_and_no_session_ends_in_the_middle_of_it(
    site: SmallSite,
) -> None:
    """By the clock, the first events' five minutes are over before the others are read."""
    for number in range(6):
        site.view_page(str(number))
        site.pass_time(minutes=4)
    site.now -= timedelta(minutes=4)

    batches = site.process(max_records=2)

    assert [batch.records for batch in batches] == [2, 2, 2]
    assert site.pages("ada") == [2]


def test_the_seam_counts_nothing_twice_and_loses_nothing(site: SmallSite) -> None:
    rows = [site.event(str(number), "ada") for number in range(5)]
    with site.processor(max_records=3) as processor:
        site.arrive(*rows)
        processor.run_batch()
        # The second release ends in the middle of the first batch, before the second.
        site.release("20260501T000001Z", rows[:2], position=3)
        run_until_idle(processor)
        assert processor.release == "20260501T000001Z"
        assert site.pages("ada") == [5]
        site.release("20260501T000002Z", rows, position=6)
        site.view_page("6")
        run_until_idle(processor)

    assert site.pages("ada") == [6]


def test_who_is_in_the_release_only_is_told_of_when_the_time_comes(
    site: SmallSite,
) -> None:
    fact = site.event("1", "ada")
    site.release(
        "20260501T000001Z",
        [fact],
        timers=[("ftr_visitor__pages", "v_0000ada", NOON + timedelta(minutes=5))],
    )
    with site.processor() as processor:
        run_until_idle(processor)
        before = site.pages("ada")
        site.pass_time(minutes=6)
        run_until_idle(processor)

    assert before == [None]  # the release's own refresh writes it
    assert site.pages("ada") == [0]


def test_the_state_may_be_deleted(site: SmallSite) -> None:
    site.view_page("1", "2")
    site.process()
    for file in site.settings.live.iterdir():
        file.unlink()
    site.view_page("3")

    site.process()

    assert site.pages("ada") == [3]


def test_view_whose_sql_fails_is_off_alone_until_the_next_release(
    site: SmallSite,
) -> None:
    good = site.models["ftr_item__views"]
    broken = "select item_id, error('broken') as event_timestamp from ({})"
    at_once = {"feature_view": {"freshness_seconds": 5}}
    site.models["ftr_item__views"] = replace(
        good, sql=broken.format(good.sql), meta=at_once
    )
    site.release("20260501T000001Z")
    with site.processor() as processor:
        site.arrive(site.event("1", "ada", item_id="hat"))
        run_until_idle(processor)
        off = processor.views_off
        pages = site.pages("ada")
        site.models["ftr_item__views"] = good
        site.release("20260501T000002Z")
        site.pass_time(hours=1)
        site.arrive(site.event("2", "ada", item_id="hat"))
        site.pass_time(hours=1)
        run_until_idle(processor)

        assert (off, pages) == ({"item__views"}, [1])
        assert processor.views_off == set()
        assert site.online("item__views", "hat") == [2]


def test_view_that_gives_what_cannot_be_stored_is_off_alone(
    site: SmallSite, caplog: pytest.LogCaptureFixture
) -> None:
    hats = (
        "select visitor_id, received_at as event_timestamp, "
        "received_at as created_timestamp, [item_id] as hats "
        "from int_events__feature_facts"
    )
    at_once = {"feature_view": {"freshness_seconds": 5}}
    site.models["ftr_visitor__hats"] = LiveModel("ftr_visitor__hats", hats, at_once)
    site.release("20260501T000001Z")
    with site.processor() as processor:
        site.arrive(site.event("1", "ada", item_id="bowler"))
        run_until_idle(processor)
        before = processor.views_off
        # Of no item, a list of it has a null inside.
        site.view_page("2", visitor="eve")
        run_until_idle(processor)
        site.arrive(site.event("3", "bob", item_id="fez"))
        run_until_idle(processor)

        assert (before, processor.views_off) == (set(), {"visitor__hats"})
        assert processor.lag() == 0
    hats_of = site.online("visitor__hats", "v_0000ada", "v_0000eve", "v_0000bob")
    assert hats_of == [["bowler"], None, None]
    assert site.pages("ada", "eve", "bob") == [1, 1, 1]
    (told,) = [one.getMessage() for one in caplog.records if "off" in one.getMessage()]
    assert "visitor__hats is off" in told
    assert "feature hats: a list has a null inside" in told


def test_forgetting_what_the_store_has_changes_no_value(
    site: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearline.live.making._MOST_REMEMBERED", 1)
    with site.processor() as processor:
        for number, name in enumerate(("ada", "eve", "bob")):
            site.arrive(site.event(f"{number}", name, user_id="u_000000us"))
            run_until_idle(processor)
        site.pass_time(minutes=6)
        run_until_idle(processor)

    assert site.pages("ada", "eve", "bob") == [0, 0, 0]
    persons = site.online("person__pages", "v_0000ada", "v_0000eve", "v_0000bob")
    assert persons == [3, 3, 3]


def _of_shared(what: str, shared: str) -> LiveModel:
    """Model of a feature `what` over SQL that is marked to be made once."""
    sql = (
        "select visitor_id, received_at as event_timestamp, "
        f"received_at as created_timestamp, [drawn] as {what} "
        f"from (/* made once */ {shared} /* up to here */)"
    )
    return LiveModel(
        f"ftr_visitor__{what}", sql, {"feature_view": {"freshness_seconds": 5}}
    )


@pytest.mark.parametrize("processors", [1, 4])
def test_what_views_share_is_made_once_for_each_batch(
    site: SmallSite, processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    shared = (
        "select visitor_id, received_at, cast(uuid() as varchar) as drawn "
        "from int_events__feature_facts"
    )
    for what in ("hats", "gloves"):
        site.models[f"ftr_visitor__{what}"] = _of_shared(what, shared)
    site.release("20260501T000001Z")
    drawn = []
    with site.processor() as processor:
        for number in ("1", "2"):
            site.view_page(number)
            run_until_idle(processor)
            drawn.append(
                [
                    site.online(f"visitor__{what}", "v_0000ada")
                    for what in ("hats", "gloves")
                ]
            )

    [hats, gloves], [later_hats, later_gloves] = drawn
    assert hats == gloves
    assert later_hats == later_gloves
    assert hats != later_hats


def test_views_whose_shared_sql_fails_are_off_and_no_others(site: SmallSite) -> None:
    shared = "select *, error('broken') as drawn from int_events__feature_facts"
    for what in ("hats", "gloves"):
        site.models[f"ftr_visitor__{what}"] = _of_shared(what, shared)
    site.release("20260501T000001Z")
    with site.processor() as processor:
        site.view_page("1")
        run_until_idle(processor)

        assert processor.views_off == {"visitor__hats", "visitor__gloves"}
        assert site.pages("ada") == [1]


def test_whoever_is_suppressed_leaves_state_and_store(site: SmallSite) -> None:
    with site.processor() as processor:
        site.view_page("1")
        site.view_page("2", visitor="eve")
        site.arrive(site.event("3", "bob", user_id="u_0000bob"))
        run_until_idle(processor)
        suppress(site.settings, "visitor", "v_0000ada", "erased", site.now)
        suppress(site.settings, "user", "u_0000bob", "erased", site.now)
        site.view_page("4")
        run_until_idle(processor)
        left = processor._connection.execute(
            "select distinct visitor_id from facts"
        ).fetchall()

    assert site.pages("ada", "eve", "bob") == [None, 1, None]
    assert left == [("v_0000eve",)]


def test_what_one_visitor_of_a_person_does_is_told_of_all_of_them(
    site: SmallSite,
) -> None:
    site.arrive(
        site.event("1", "phone", user_id="u_0000ada"),
        site.event("2", "laptop"),
        site.event("3", "eve"),
    )
    with site.processor() as processor:
        run_until_idle(processor)
        apart = site.person_pages("phone", "laptop", "eve")
        site.pass_time(seconds=1)
        site.arrive(site.event("4", "laptop", user_id="u_0000ada"))
        run_until_idle(processor)

    assert apart == [1, 1, 1]
    assert site.person_pages("phone", "laptop", "eve") == [3, 3, 1]
    assert site.pages("phone", "laptop", "eve") == [1, 2, 1]


def test_visitor_that_only_the_release_knows_is_told_of_by_the_others_of_its_person(
    site: SmallSite,
) -> None:
    facts = [site.event("1", "phone", user_id="u_0000ada"), site.event("2", "phone")]
    site.release("20260501T000001Z", facts)
    site.pass_time(minutes=1)
    site.arrive(site.event("3", "laptop", user_id="u_0000ada"))
    site.process()

    assert site.person_pages("phone", "laptop") == [3, 3]


@pytest.mark.parametrize("is_in_release", [False, True])
def test_whoever_is_suppressed_leaves_the_values_of_the_others_of_the_person(
    site: SmallSite, is_in_release: bool
) -> None:
    phone = site.event("1", "phone", user_id="u_0000ada")
    site.pass_time(minutes=1)
    laptop = [site.event(id_, "laptop", user_id="u_0000ada") for id_ in ("2", "3")]
    if is_in_release:
        site.release("20260501T000001Z", [phone, *laptop])
        site.pass_time(seconds=1)
        site.arrive(site.event("4", "phone"))
    else:
        site.arrive(phone, *laptop)
    with site.processor() as processor:
        run_until_idle(processor)
        before = site.person_pages("phone", "laptop")
        suppress(site.settings, "visitor", "v_0000laptop", "erased", site.now)
        run_until_idle(processor)

    assert before == [3 + is_in_release] * 2
    assert site.person_pages("phone", "laptop") == [1 + is_in_release, None]


def test_what_runs_alone_tell_stays_until_it_expires_or_its_person_is_suppressed(
    site: SmallSite,
) -> None:
    site.arrive(
        site.event("1", "phone", user_id="u_0000ada"),
        site.event("2", "laptop", user_id="u_0000ada"),
        site.event("3", "eve"),
    )
    site.say_levels(phone=1, laptop=1, eve=2)
    with site.processor() as processor:
        run_until_idle(processor)
        told = site.levels("phone", "laptop", "eve")
        suppress(site.settings, "visitor", "v_0000laptop", "erased", site.now)
        run_until_idle(processor)
        left = site.levels("phone", "laptop", "eve")
        site.pass_time(days=3)
        run_until_idle(processor)

    assert told == [1, 1, 2]
    assert left == [None, None, 2]
    assert site.levels("eve") == [None]
    assert processor.views_off == frozenset()


def test_whoever_is_unlinked_is_apart_at_once(site: SmallSite) -> None:
    phone = site.event("1", "phone", user_id="u_0000ada")
    laptop = site.event("2", "laptop", user_id="u_0000ada")
    site.release("20260501T000001Z", [phone, laptop])
    link = Link("visitor", "v_0000laptop", "user", "u_0000ada")
    site.pass_time(minutes=1)
    with site.processor() as processor:
        site.arrive(site.event("3", "phone"))
        run_until_idle(processor)
        together = site.person_pages("phone", "laptop")
        site.pass_time(minutes=1)
        unlink(site.settings, link, "shared", site.now)
        run_until_idle(processor)
        site.arrive(site.event("4", "laptop"))
        run_until_idle(processor)

    assert together == [3, 3]
    assert site.person_pages("phone", "laptop") == [2, 2]


def test_what_has_expired_is_missing(site: SmallSite) -> None:
    with site.processor() as processor:
        site.view_page("1")
        run_until_idle(processor)
        site.pass_time(days=3)
        run_until_idle(processor)

    assert site.pages("ada") == [None]


def test_clock_that_jumps_back_takes_nothing_back(site: SmallSite) -> None:
    with site.processor() as processor:
        site.view_page("1")
        site.pass_time(minutes=6)
        run_until_idle(processor)
        site.now -= timedelta(minutes=10)
        site.view_page("2", visitor="eve")
        run_until_idle(processor)

    assert site.pages("ada", "eve") == [0, 1]


def test_a_second_processor_is_refused(site: SmallSite) -> None:
    """In another process it is; within one, DuckDB shares the file."""
    import subprocess
    import sys

    program = (
        "from pathlib import Path\n"
        "from nearline.live.state import State\n"
        f"State(Path({str(site.settings.live / 'state.duckdb')!r}), 100)"
    )
    with site.processor():
        second = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )

    assert second.returncode == 1
    assert LockedError.__name__ in second.stderr
    assert "another `nearline live` is at work" in second.stderr


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NearlineError, match="run `nearline run` once"):
        Processor(Settings(home=tmp_path))

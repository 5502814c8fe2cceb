"""Lets everybody come, side by side, until all have been or somebody says stop.

Belongs here: time, order, and what is written and counted in the end. Not here: what one
person does (`visit`).
"""

import asyncio
import contextlib
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import orjson

from nearline.errors import InputError
from nearline.simulate.catalogue import make_catalogue
from nearline.simulate.live.browser import Browsers, Traffic
from nearline.simulate.live.intentions import Intention, make_crowd
from nearline.simulate.live.truth import Trial
from nearline.simulate.live.visit import Trade, Visit, known_items
from nearline.simulate.reactions import MOST_CARE
from nearline.simulate.writing import RecordFile, prepare_folder, publish_folder

TRUTH_FILE = "live.json"
MOST_VISITORS = 100_000
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What to simulate, against which services.

    `seconds` is the time in which people come; `pace` by how much their dwell is
    shortened (1: as long as people's). `shop_seed` made the shop that is on sale, `seed`
    the people.
    """

    decisions_url: str
    collector_url: str
    key: str
    slot: str
    visitors: int
    seconds: float
    pace: float
    care: float
    seed: int
    shop_seed: int
    connections: int


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """What happened. `unit_count` were in the trial; effects are personal minus default.

    `same_count` of them saw the very list that the service gave for their group when it
    was asked once more: those missing saw one that was explored, late, or a moment newer.
    """

    slot: str
    care: float
    visitor_count: int
    refused_count: int
    unit_count: int
    held_out_count: int
    arms: dict[str, dict[str, int]]
    answers: dict[str, int]
    same_count: int
    click_count: int
    cart_count: int
    purchase_count: int
    true_effects: dict[str, float]
    counts: dict[str, int]
    problems: dict[str, int]
    decide_p50_ms: float | None
    decide_p99_ms: float | None
    seconds: float
    is_stopped: bool


def check_plan(plan: LivePlan) -> None:
    """Raises InputError, naming the option, for what cannot be simulated."""
    if not 1 <= plan.visitors <= MOST_VISITORS:
        raise InputError(f"--visitors: must be an integer of 1 to {MOST_VISITORS:,}")
    if plan.seed < 0:
        raise InputError("--seed: must be an integer of 0 or more")
    if plan.shop_seed < 0:
        raise InputError("--shop-seed: must be an integer of 0 or more")
    if not 0 <= plan.seconds <= 7 * 86_400:
        raise InputError("--seconds: must be a number from 0 to a week's")
    if not 0.01 <= plan.pace <= 1_000:
        raise InputError("--pace: must be a number from 0.01 to 1000")
    if not 0 <= plan.care <= MOST_CARE:
        raise InputError(
            f"--care: must be a number from 0 to {MOST_CARE:g}; beyond, a probability "
            "would leave 0 to 1"
        )
    for name, url in (
        ("--live", plan.decisions_url),
        ("--collector", plan.collector_url),
    ):
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{name}: no URL; write it as http://localhost:8090")


def run_live(
    plan: LivePlan,
    out: Path,
    *,
    force: bool = False,
    advance: Callable[[float], None] = lambda count: None,
) -> LiveSummary:
    """Lets the crowd visit and writes `out/truth`. Ctrl+C ends it early, and cleanly.

    Args:
        advance: told how many more visits have ended.

    Raises:
        InputError: the plan, the folder or a service cannot be used.
    """
    check_plan(plan)
    unfinished = prepare_folder(out, force=force)
    browsers = Browsers(
        plan.collector_url, plan.decisions_url, plan.key, connections=plan.connections
    )
    try:
        catalogue = make_catalogue(plan.shop_seed)
        items = {one.item_id: one for one in catalogue.items}
        shown = browsers.check(plan.slot)
        if shown.item_ids and not known_items(shown.item_ids, items):
            raise InputError(
                "--shop-seed: the service shows items of another shop; give the seed that "
                "`nearline simulate` made it with"
            )
        started_at = datetime.now(UTC)
        began = time.monotonic()
        crowd = make_crowd(plan.seed, plan.visitors, catalogue)
        day = _Day(plan, browsers, Trial(plan.care, items), unfinished, advance)
        asyncio.run(day.open(crowd))
        summary = day.summary(time.monotonic() - began)
        _write_truth(unfinished, plan, day.trial, summary, started_at)
        publish_folder(unfinished, out, parts=("truth",))
    finally:
        browsers.close()
        if unfinished.exists():
            shutil.rmtree(unfinished)
    return summary


class _Day:
    """The run's state: who is in the shop, and what came of it so far."""

    def __init__(
        self,
        plan: LivePlan,
        browsers: Browsers,
        trial: Trial,
        folder: Path,
        advance: Callable[[float], None],
    ) -> None:
        self.plan = plan
        self.browsers = browsers
        self.trial = trial
        self.advance = advance
        self.visitor_count = 0
        self.refused_count = 0
        self.is_stopped = False
        self._closing = asyncio.Event()
        self._trade = Trade(
            browsers=browsers,
            items=trial.items,
            slot=plan.slot,
            care=plan.care,
            # Events of a later run with the same people are others.
            run_id=uuid4().hex[:12],
            sleep=lambda seconds: self._sleep(seconds / plan.pace),
        )
        (folder / "truth").mkdir()
        self._records = RecordFile(folder / "truth" / "visitors.jsonl.gz")

    async def open(self, crowd: Sequence[Intention]) -> None:
        """Until everybody has been, or the first Ctrl+C; a second one ends it at once."""
        loop = asyncio.get_running_loop()
        is_main = threading.current_thread() is threading.main_thread()
        try:
            if is_main:
                for number in _SIGNALS:
                    loop.add_signal_handler(number, self._close, loop)
            async with asyncio.TaskGroup() as visits:
                began = time.monotonic()
                for intention in crowd:
                    due = began + intention.arrives_at * self.plan.seconds
                    if not await self._sleep(due - time.monotonic()):
                        break
                    visits.create_task(self._host(intention))
        finally:
            self._records.close()
            if is_main:
                for number in _SIGNALS:
                    loop.remove_signal_handler(number)

    def summary(self, seconds: float) -> LiveSummary:
        trial, traffic = self.trial, self.browsers.traffic
        arms: dict[str, dict[str, int]] = {}
        for (experiment, arm), count in sorted(trial.arms.items()):
            arms.setdefault(experiment, {})[arm] = count
        return LiveSummary(
            slot=self.plan.slot,
            care=self.plan.care,
            visitor_count=self.visitor_count,
            refused_count=self.refused_count,
            unit_count=trial.unit_count,
            held_out_count=trial.held_out_count,
            arms=arms,
            answers=dict(trial.answers),
            same_count=trial.same_count,
            click_count=trial.click_count,
            cart_count=trial.cart_count,
            purchase_count=trial.purchase_count,
            true_effects=trial.effects(),
            counts=dict(traffic.counts),
            problems=dict(traffic.problems),
            decide_p50_ms=_milliseconds(traffic, 50),
            decide_p99_ms=_milliseconds(traffic, 99),
            seconds=round(seconds, 1),
            is_stopped=self.is_stopped,
        )

    async def _host(self, intention: Intention) -> None:
        shown = await Visit(self._trade, intention).run()
        self.visitor_count += 1
        self.refused_count += not intention.consent.analytics
        if shown is not None:
            self._records.add(self.trial.add(intention, shown))
        self.advance(1)

    async def _sleep(self, seconds: float) -> bool:
        """Waits so long, or less where the shop closes; whether it is still open."""
        if seconds > 0 and not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), seconds)
        return not self._closing.is_set()

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        # Who has seen the slot acts on it without delay; the others leave.
        self.is_stopped = True
        self._closing.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _write_truth(
    folder: Path, plan: LivePlan, trial: Trial, summary: LiveSummary, began: datetime
) -> None:
    """`truth/live.json`: rates are 0 to 1, revenue in cents."""
    content = {
        "slot": plan.slot,
        "experiments": list(summary.arms),
        "unit": "visitor_id",
        "unit_count": trial.unit_count,
        "began_at": began.isoformat(timespec="milliseconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seed": plan.seed,
        "shop_seed": plan.shop_seed,
        "care": plan.care,
        "true_means_personal": trial.means(trial.personal),
        "true_means_default": trial.means(trial.default),
        "true_effects": trial.effects(),
        "summary": asdict(summary),
    }
    (folder / "truth" / TRUTH_FILE).write_bytes(
        orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
    )


def _milliseconds(traffic: Traffic, percent: int) -> float | None:
    if len(traffic.decide_seconds) < 2:
        return None
    cuts = statistics.quantiles(traffic.decide_seconds, n=100, method="inclusive")
    return round(1_000 * cuts[percent - 1], 1)

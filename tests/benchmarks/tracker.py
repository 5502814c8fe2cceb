"""Size of the tracker and the time that it takes from a page's main thread in Chromium.

python -m tests.benchmarks.tracker
"""

import json
import statistics
from typing import Any

from playwright.sync_api import Browser, Page

from nearline.tracker import TRACKER
from tests.chromium import chromium
from tests.receiver import Receiver, running_receiver

LOADS = 15
EVENTS_A_ROUND = 40
ROUNDS = 10

_TRACKER = '<script src="/v1/tracker.js" data-write-key="dev" data-consent="{consent}">'
# The floor: a script of nothing, loaded in the same way.
_EMPTY = '<script src="/empty.js">'
_PAGE = "<!doctype html><title>Shop</title>{script}</script><p>shop</p>"
_SALE = {
    "transaction_id": "o_1",
    "value": 39.98,
    "currency": "EUR",
    "items": [
        {"item_id": f"sku_{n}", "item_brand": "Acme", "price": 19.99, "quantity": 1}
        for n in range(3)
    ],
}
# The queue is emptied between the rounds, outside of what is timed.
_MICROSECONDS_A_CALL = """async ([call, count]) => {
  const run = new Function("n", call);
  await new Promise((resolve) => setTimeout(resolve, 60));
  const started = performance.now();
  for (let n = 0; n < count; n++) run(n);
  return (performance.now() - started) * 1000 / count;
}"""


def measure_tracker() -> dict[str, Any]:
    """Bytes as served, and medians of main-thread times.

    `evaluate…` is compiling and running the script and all that it does at once, from
    the browser's own trace: processor time (`cpu`) and time on the clock, in which the
    page also waits for its first cookie. `empty…` is the same of an empty script.
    `…_us` are microseconds a call, storage of the event included.
    """
    measured: dict[str, Any] = {
        "bytes": len(TRACKER.content),
        "bytes_gzipped": len(TRACKER.gzipped),
    }
    with chromium() as browser, running_receiver() as receiver:
        receiver.pages["/with"] = _PAGE.format(
            script=_TRACKER.format(consent="opt-out")
        )
        receiver.pages["/asking"] = _PAGE.format(
            script=_TRACKER.format(consent="required")
        )
        receiver.pages["/empty"] = _PAGE.format(script=_EMPTY)
        receiver.pages["/empty.js"] = ""
        measured["chromium"] = browser.version
        for name, path in {
            "evaluate": "/with",
            "evaluate_before_consent": "/asking",
            "empty_evaluate": "/empty",
        }.items():
            cpu, clock = _evaluate_ms(browser, receiver, path)
            measured[f"{name}_cpu_ms"] = cpu
            measured[f"{name}_ms"] = clock
        page = browser.new_context().new_page()
        page.goto(receiver.url + "/with")
        sale = json.dumps(_SALE)
        for name, call in {
            "event_us": "nearline('event', 'view_item', {item_id: 'sku_' + n})",
            "purchase_us": f"nearline('event', 'purchase', {sale})",
            "pointer_move_us": "dispatchEvent(new PointerEvent('pointermove'))",
            "link_click_us": "document.querySelector('a').click()",
        }.items():
            measured[name] = _microseconds(page, call)
        # What the page before left queued waits for a consent that never comes.
        page = browser.new_context().new_page()
        page.goto(receiver.url + "/asking")
        measured["event_without_consent_us"] = _microseconds(
            page, "nearline('event', 'view_item', {item_id: 'sku_' + n})"
        )
    return measured


def _evaluate_ms(
    browser: Browser, receiver: Receiver, path: str
) -> tuple[float, float]:
    """Median times of the page's script: of the processor and on the clock."""
    cpu, clock = [], []
    for _ in range(LOADS):
        # A new profile each time: no compiled script is at hand.
        context = browser.new_context()
        page = context.new_page()
        browser.start_tracing(page=page, categories=["devtools.timeline"])
        page.goto(receiver.url + path)
        trace = json.loads(browser.stop_tracing())
        context.close()
        evaluations = [
            entry
            for entry in trace["traceEvents"]
            if entry["name"] == "EvaluateScript"
            and entry["args"]["data"].get("url", "").endswith(".js")
        ]
        cpu.append(sum(entry.get("tdur", 0) for entry in evaluations) / 1000)
        clock.append(sum(entry.get("dur", 0) for entry in evaluations) / 1000)
    return round(statistics.median(cpu), 3), round(statistics.median(clock), 3)


def _microseconds(page: Page, call: str) -> float:
    page.evaluate(
        """() => {
          document.body.innerHTML = '<a href="https://other.example/x">out</a>';
          addEventListener("click", (event) => event.preventDefault());
        }"""
    )
    rounds = []
    for _ in range(ROUNDS):
        rounds.append(page.evaluate(_MICROSECONDS_A_CALL, [call, EVENTS_A_ROUND]))
        page.wait_for_function(
            "!Object.keys(localStorage).some((key) => key.startsWith('_nl_e.'))"
        )
    return round(statistics.median(rounds), 1)


if __name__ == "__main__":
    print(json.dumps(measure_tracker(), indent=2))

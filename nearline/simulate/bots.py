"""What a bot does in one visit: pages at a machine's pace, no dwell, no scroll.

An undeclared bot clicks every banner away and is shown the experiment like anybody else;
it always makes at least 60 pages at more than 400 an hour. A declared one may be slower.
"""

from random import Random

from nearline.simulate.calendar import SECOND
from nearline.simulate.catalogue import Catalogue, Item
from nearline.simulate.experiment import EXPERIMENT_KEY, assign_variant
from nearline.simulate.people import Bot, Consent
from nearline.simulate.recording import Recorder, page_fields, sender_fields
from nearline.simulate.streams import draw_between

BOT_CONSENT = Consent(0, analytics=True, personalization=True, marketing=True)


def run_bot_visit(
    recorder: Recorder,
    rng: Random,
    catalogue: Catalogue,
    items: list[Item],
    bot: Bot,
    started_at: int,
    is_first: bool,
) -> int:
    """Lets one visit of a bot happen; returns when it ended."""
    random = rng.random
    is_declared = bot.declared_reason is not None
    recorder.sender = sender_fields(
        bot.device, BOT_CONSENT, bot_reason=bot.declared_reason
    )
    now = started_at
    if is_first:
        recorder.record("consent", now)
    pages = draw_between(random(), 3, 60) if is_declared else 60 + int(random() * 90)
    pace = draw_between(
        random(), SECOND // 2, 60 * SECOND if is_declared else 7 * SECOND
    )
    is_exposed = is_declared  # the door serves no experiment to a declared bot
    for number in range(pages):
        page_view_id = f"p_{recorder.visit_key}{number:02x}"
        if random() < 0.3:
            category = catalogue.categories[int(random() * len(catalogue.categories))]
            recorder.page = page_fields(
                page_view_id, "category", f"/c/{category.slug}", category.name
            )
            recorder.record("page_view", now)
        else:
            item = items[int(random() * len(items))]
            recorder.page = page_fields(page_view_id, "product", item.path, item.name)
            recorder.record("page_view", now)
            recorder.record("view_item", now + 2, item.event_fields)
            if not is_exposed:
                is_exposed = True
                variant = assign_variant(bot.device.visitor_id)
                recorder.record(
                    "exposure",
                    now + 3,
                    f',"experiment_key":"{EXPERIMENT_KEY}","variant_key":"{variant}"',
                )
        now += int(pace * (0.8 + 0.4 * random())) + 5
    return now

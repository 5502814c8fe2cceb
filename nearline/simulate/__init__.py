"""A shop with known truth: events in the contract's own form, and what is true of them.

Here belongs what makes up the shop, its people and its experiment. Reading events back,
or any definition of a session or a segment that the pipeline uses, does not: the truth
is worth something only because it is worked out apart from the pipeline.

People who visit running services, instead of files being written, are in `live`.

What is written to `DIR`:

- `events/received-YYYY-MM-DD.jsonl.gz`: one file per UTC day of `received_at`, a line an
  event, sorted by `received_at`; null fields are left out. Events arrive up to some days
  after the last simulated day, so there are a few more files than days.
- `truth/persons.jsonl.gz`: person, habit, visitor ids, user id, consent choices.
- `truth/sessions.jsonl.gz`: visitor, start, end, `event_count` of each session (gaps of
  strictly more than 30 minutes start a new one) over the events with analytics consent,
  duplicates counted once; sessions of bots are in it and marked `is_bot`.
- `truth/bots.jsonl.gz`: visitor ids of bots and whether the door declared them.
- `truth/experiment.json`: the true effects; see `nearline.simulate.experiment`.
- `truth/catalogue.jsonl.gz`: the items on sale.

A visitor is one device (or one bot); a person has one to three. Thirty days give about
80 events a visitor, those who refuse analytics (one event) and bots included; the number
grows in proportion to the days. The same plan writes the same bytes under one version of
Python and zlib; another zlib may compress the same lines to other bytes.
"""

from nearline.simulate.experiment import assign_variant
from nearline.simulate.simulation import Plan, Summary, simulate

__all__ = ["Plan", "Summary", "assign_variant", "simulate"]

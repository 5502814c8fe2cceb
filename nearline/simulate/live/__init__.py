"""A shop's people as browsers: they send events, ask what to show and react to it.

Here belongs what drives a collector and a decisions service over HTTP, and the truth of
how much its personal answers are worth to these people. Nothing of the service's code is
called: it is asked as any page asks it. Where it is compared with the published tables is
`nearline.simulate.live_comparison`.

    intentions  who comes when and means to do what, drawn before anybody is asked
    browser     requests: events, decisions, outcomes; again where there is no answer
    visit       one visit, page by page
    truth       what is true of those who were in the trial
    running     everybody, side by side, until done or told to stop

What is written to `DIR/truth`:

- `live.json`: what was run, and the true effect of the personal answer over the default
  one by metric, as a mean over all who were in the trial.
- `visitors.jsonl.gz`: one record per person in the trial: taste, what was shown and what
  would have been either way, chances either way, what they did.
"""

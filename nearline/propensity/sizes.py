"""How many labelled moments a training looks at; schedules read it without the library."""

DAILY_ROWS = 20_000
WEEKLY_ROWS = 200_000
"""Ten times as many: rarer kinds of visits are seen, at ten times the cost."""

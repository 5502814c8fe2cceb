"""The nearline processor: features of those who act now, seconds after the event.

Belongs here: following the event log and keeping online values up. What a feature means
is the release's compiled SQL (ADR 18); how a store keeps values is `nearline/online/`.
"""

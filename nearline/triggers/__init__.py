"""Triggers: when something is said to a visitor, once, and how it gets there."""

from nearline.triggers.outbox import PendingBlock, PendingBlocks, pending_blocks

__all__ = ["PendingBlock", "PendingBlocks", "pending_blocks"]

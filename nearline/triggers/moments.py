"""Moments as triggers keep them: whole milliseconds since 1970 (UTC)."""

from datetime import UTC, datetime


def milliseconds(moment: datetime) -> int:
    """Since 1970; a moment without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def moment_of(milliseconds: int) -> datetime:
    """A kept moment, with zone."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)

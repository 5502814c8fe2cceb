"""Opens the log that the settings name; a backend is imported when it is used."""

from nearline.log.protocol import EventLog
from nearline.settings import Settings


def open_log(settings: Settings, topic: str) -> EventLog:
    """The log of one topic, made at first use."""
    if settings.log_kind == "kafka":
        from nearline.log.kafka_log import KafkaLog

        return KafkaLog(settings, topic)
    if settings.log_kind == "kinesis":
        from nearline.log.kinesis_log import KinesisLog

        return KinesisLog(settings, topic)
    from nearline.log.sqlite_log import SqliteLog

    return SqliteLog(
        settings.log / f"{topic}.sqlite", topic, settings.log_timeout_seconds
    )

"""What a User-Agent tells: a declared bot or not, and the class of the device.

The header itself is never kept. Bots that pretend to be people are found later, by
their pace; here only those are marked that say what they are.
"""

import functools
import re
from dataclasses import dataclass
from typing import Literal

import crawleruseragents  # type: ignore[import-untyped]

DeviceClass = Literal["desktop", "mobile", "tablet", "tv", "other"]

_LONGEST_AGENT = 512
_CACHE_SIZE = 10_000
# Automation that does not call itself a crawler.
_HEADLESS = re.compile(
    r"headless|phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|cypress/"
    r"|electron/.*test|lighthouse|gtmetrix|jsdom",
    re.IGNORECASE,
)
_TV = re.compile(r"\b(smart|hbb|google|apple|web)?-?tv\b|crkey|roku", re.IGNORECASE)
_TABLET = re.compile(r"ipad|tablet|silk|kindle|playbook", re.IGNORECASE)
_MOBILE = re.compile(r"mobi|iphone|ipod|windows phone", re.IGNORECASE)
_DESKTOP = re.compile(r"windows nt|macintosh|x11|cros", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sender:
    """What is kept in place of a User-Agent; null where it says nothing."""

    bot_reason: str | None
    device_class: DeviceClass | None


def judge_sender(user_agent: str) -> Sender:
    """The sender of this header; an empty one is a bot's."""
    return _judge_sender(user_agent[:_LONGEST_AGENT])


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _judge_sender(user_agent: str) -> Sender:
    return Sender(_bot_reason(user_agent), _device_class(user_agent))


def _bot_reason(user_agent: str) -> str | None:
    if not user_agent.strip():
        return "no_user_agent"
    if _HEADLESS.search(user_agent):
        return "headless_browser"
    return "declared_user_agent" if _is_crawler(user_agent) else None


def _device_class(user_agent: str) -> DeviceClass | None:
    is_android = "Android" in user_agent
    if _TV.search(user_agent):
        return "tv"
    if _TABLET.search(user_agent) or (is_android and not _MOBILE.search(user_agent)):
        return "tablet"
    if is_android or _MOBILE.search(user_agent):
        return "mobile"
    return "desktop" if _DESKTOP.search(user_agent) else None


def _is_crawler(user_agent: str) -> bool:
    return bool(crawleruseragents.is_crawler(user_agent))

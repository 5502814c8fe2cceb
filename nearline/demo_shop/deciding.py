"""What the shop's pages need to show something personal, and what of it is missing.

Belongs here: whom the pages ask, and the words for what a home does not have yet. Not here:
deciding itself (`nearline.decisions`).
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nearline.errors import InputError
from nearline.settings import Settings

KEY = "demo"

_POLICIES = Path(__file__).with_name("policies")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who decides what pages show.

    `url` is None for the shop itself; `missing` are commands that make what it goes without.
    """

    url: str | None = None
    key: str = KEY
    missing: tuple[str, ...] = ()

    @property
    def origin(self) -> str | None:
        """What a page must be allowed to speak with beside the shop."""
        if self.url is None:
            return None
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def asked_at(url: str, key: str) -> Asked:
    """Decisions of another process.

    Raises:
        InputError: `url` is no address of a service.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(
            "--decisions is no address; give one like http://localhost:8090"
        )
    return Asked(url.rstrip("/"), key)


def missing_parts(settings: Settings) -> tuple[str, ...]:
    """Commands that make what personal pages need and the home does not have, in order."""
    from nearline.models import state_file
    from nearline.publication.releases import read_manifest
    from nearline.recommend.training import MODEL_NAME

    missing: tuple[str, ...] = ()
    if read_manifest(settings.published) is None:
        missing = (
            "nearline simulate --out shop",
            "nearline ingest shop/events --format nearline",
            "nearline run",
        )
    if not state_file(settings.models, MODEL_NAME).exists():
        missing += ("nearline recommend train",)
    return missing


def follow_demo_policies(settings: Settings) -> Settings:
    """With the shop's own policies, unless the home has some."""
    if settings.policy_folder.is_dir():
        return settings
    return settings.model_copy(update={"policies": _POLICIES})

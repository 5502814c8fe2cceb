"""Where things are and which of the exchangeable parts is used: settings, not code.

Read from the environment (`NEARLINE_HOME`, ...). What a fact means (session gap,
thresholds, consent assumed for a source) is not here but in `dbt_project.yml`'s vars.
"""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one installation; every path hangs below `home`."""

    model_config = SettingsConfigDict(env_prefix="NEARLINE_", frozen=True)

    home: Path = Path(".nearline")
    pseudonym_key: SecretStr | None = None
    """Secret of the keyed hash. Unset: a random key is made in `keys/` at first use."""

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def suppression(self) -> Path:
        return self.home / "privacy" / "suppression.parquet"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def candidate(self) -> Path:
        """Link to the release written last, whether it was published or refused."""
        return self.home / "candidate"

    @property
    def published(self) -> Path:
        """The link that every reader follows; renamed onto a release in one step."""
        return self.home / "published"

    @property
    def online(self) -> Path:
        return self.home / "online"

    @property
    def site(self) -> Path:
        return self.home / "site"

    @property
    def quality(self) -> Path:
        """Check results by release, `quality/<release_id>/checks.json`."""
        return self.home / "quality"

    @property
    def dagster(self) -> Path:
        return self.home / "dagster"

    @property
    def run_lock(self) -> Path:
        return self.home / "run.lock"


def load_settings() -> Settings:
    """Settings from the environment, with `home` made absolute."""
    settings = Settings()
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})

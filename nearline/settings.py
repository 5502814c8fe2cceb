"""Where things are and which of the exchangeable parts is used: settings, not code.

Read from the environment (`NEARLINE_HOME`, ...). What a fact means (session gap,
thresholds, consent assumed for a source) is not here but in `dbt_project.yml`'s vars.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one installation; every path hangs below `home`."""

    model_config = SettingsConfigDict(env_prefix="NEARLINE_", frozen=True)

    home: Path = Path(".nearline")
    pseudonym_key: SecretStr | None = None
    """Secret of the keyed hash. Unset: a random key is made in `keys/` at first use."""

    pseudonym_key_id: str = "k1"
    former_pseudonym_keys: dict[str, SecretStr] = {}
    """Keys that were in use before, by id, oldest first (as JSON)."""

    dbt_project: Path = Path(__file__).resolve().parents[1] / "dbt_project"
    """Where sources are declared and mapped."""

    max_rejected_share: float = Field(default=0.5, ge=0, le=1)
    """A file with a larger share of rows that do not fit its format is not landed."""

    log_kind: Literal["sqlite", "kafka", "kinesis"] = "sqlite"
    log_partitions: int = Field(default=3, ge=1, le=1000)
    """Used when a Kafka topic or a Kinesis stream is made; SQLite has one partition."""
    log_timeout_seconds: float = Field(default=10, gt=0)
    """How long an append may take before the log counts as unavailable."""
    log_retention_days: float = Field(default=7, ge=0)
    """How long the embedded log keeps records that have been landed."""
    kafka_bootstrap_servers: str = "localhost:9092"
    kafka_topic_prefix: str = "nearline-"
    kinesis_endpoint_url: str | None = None
    """Unset: Amazon's own endpoint of `kinesis_region`."""
    kinesis_region: str = "us-east-1"
    kinesis_stream_prefix: str = "nearline-"

    online_store: Literal["sqlite", "redis"] = "sqlite"
    """Where apps look features up; a change fills the new store at the next run."""
    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    """`redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS."""
    redis_password: SecretStr | None = None
    """In place of one in the address; apps that read with Feast need it in any case."""
    redis_cluster: bool = False
    """Whether the address is of one node of a Redis Cluster."""
    redis_timeout_seconds: float = Field(default=10, gt=0)
    """How long a write is tried again before the store counts as unavailable."""

    served_sample_share: float = Field(default=0.01, ge=0, le=1)
    """Share of entities whose served values are logged, to be compared; 0: none."""
    served_retention_days: float = Field(default=14, gt=0)
    """How long a logged value is kept."""

    policies: Path | None = None
    """Folder of the policies that decisions follow. Unset: `policies/` below `home`, and
    where that is missing the ones that are shipped."""
    decision_features_seconds: float = Field(default=0.05, gt=0)
    """How long a decision waits for a visitor's features; then it goes without."""
    decision_ranking_seconds: float = Field(default=0.1, gt=0)
    """How long a decision waits for its lists; then it shows what is popular."""

    experiments: Path | None = None
    """Folder of the experiments' definitions. Unset: `experiments/` of the dbt project."""
    decision_state_seconds: float = Field(default=0.03, gt=0)
    """How long a decision waits for what was shown before, and for what triggers have to
    say; then it goes without."""

    response_cache: Literal["none", "memory", "memcached", "redis"] = "memory"
    """Where answers that many visitors share are kept; `memory` is each worker's own."""
    response_cache_address: SecretStr | None = None
    """`memcached`: `host:port`, several with commas, by default localhost:11211. `redis`:
    an address in the form of `redis_url`, and by default that one."""
    response_cache_prefix: str = Field(
        default="nearline", pattern=r"^[A-Za-z0-9_.-]{1,64}$"
    )
    """Keys begin with it: two installations that share a server need one each."""
    response_cache_seconds: float = Field(default=0.02, gt=0)
    """How long an answer waits for what is kept; then it is made."""

    audience_secret: SecretStr | None = None
    """Signs the batches that `nearline audience export --to webhook` posts."""

    trigger_files: Path | None = None
    """Folder of the YAML files that say what triggers there are; by default
    `triggers` in the home."""
    trigger_secret: SecretStr | None = None
    """Signs what triggers post to webhooks."""
    trigger_addresses: Path | None = None
    """CSV of `user_id,address` for e-mails, read when one is sent and kept nowhere."""
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` only for a server on this machine."""
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_from: str | None = None
    """Who e-mails are from, such as `Shop <hello@shop.example>`."""

    @property
    def triggers(self) -> Path:
        """Where triggers are defined."""
        return self.trigger_files or self.home / "triggers"

    @property
    def trigger_state(self) -> Path:
        """What triggers remember, and the outbox."""
        return self.home / "trigger_state"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def collector_config(self) -> Path:
        """Write keys, origins and limits of the collector."""
        return self.home / "collector.json"

    @property
    def applications(self) -> Path:
        """Keys and limits of the applications that ask for decisions."""
        return self.home / "applications.json"

    @property
    def policy_folder(self) -> Path:
        return self.policies or self.home / "policies"

    @property
    def experiment_folder(self) -> Path:
        return self.experiments or self.dbt_project / "experiments"

    @property
    def experiment_state(self) -> Path:
        """What ran: definitions of experiments as they were in force."""
        return self.home / "experiments"

    @property
    def showings(self) -> Path:
        """Counts for frequency caps, where no Redis holds them."""
        return self.home / "decision_state" / "shown.sqlite"

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
    def unlinks(self) -> Path:
        """Links between identifiers that an operator took apart."""
        return self.home / "identity" / "unlinks.parquet"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def rebuild(self) -> Path:
        """Where a new warehouse is built until it takes the old one's place."""
        return self.home / "rebuild"

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
    def live(self) -> Path:
        """The live processor's state."""
        return self.home / "live"

    @property
    def served(self) -> Path:
        """A sample of the values that apps were served."""
        return self.home / "served"

    @property
    def site(self) -> Path:
        return self.home / "site"

    @property
    def quality(self) -> Path:
        """Check results by release, `quality/<release_id>/checks.json`."""
        return self.home / "quality"

    @property
    def dbt(self) -> Path:
        """What dbt parsed and compiled in this home's runs, a folder per target."""
        return self.home / "dbt"

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

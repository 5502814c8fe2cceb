"""What a run made, in numbers and in words, read from the published release."""

from dataclasses import dataclass

from nearline.publication.changes import ReleaseChanges, read_changes
from nearline.publication.releases import read_manifest
from nearline.publication.tables import scan
from nearline.settings import Settings


@dataclass(frozen=True, slots=True)
class SourceConsent:
    """How many events of a source are held, and under which consent."""

    source: str
    consent_basis: str
    event_count: int
    analytics_count: int
    personalization_count: int


@dataclass(frozen=True, slots=True)
class ExperimentLine:
    """One comparison of an experiment's results."""

    experiment_key: str
    metric_name: str
    variant_key: str
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Identities:
    """Who is whom in the release; `refused` counts links by reason."""

    known_person_count: int
    held_link_count: int
    refused: dict[str, int]

    def in_words(self) -> str:
        """One line for a terminal."""
        refused = ", ".join(
            f"{reason} {count:,}" for reason, count in self.refused.items()
        )
        return (
            f"{self.known_person_count:,} persons with an account, "
            f"{self.held_link_count:,} links between identifiers hold"
            + (f", refused: {refused}" if refused else "")
        )


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The published release, as `nearline run` reports it."""

    release_id: str
    data_up_to: str | None
    event_count: int
    session_count: int
    person_count: int
    order_count: int
    conversion_rate: float | None
    quarantined_count: int
    sources: tuple[SourceConsent, ...]
    identities: Identities
    segments: dict[str, int]
    experiments: tuple[ExperimentLine, ...]
    page: str
    online_store: str
    changes: ReleaseChanges | None = None
    """What a rebuild or a backfill changed against the release before."""

    def in_words(self) -> str:
        """The summary as lines for a terminal."""
        lines = [
            f"Published release {self.release_id}, data up to {self.data_up_to or '-'}",
            f"  {self.event_count:,} events, {self.session_count:,} sessions, "
            f"{self.person_count:,} persons, {self.order_count:,} orders"
            + (
                f", conversion {self.conversion_rate:.1%}"
                if self.conversion_rate is not None
                else ""
            ),
            f"  {self.quarantined_count:,} rows in quarantine"
            + ("; see ops_quarantine" if self.quarantined_count else ""),
        ]
        for source in self.sources:
            basis = (
                "consent as stated by each event"
                if source.consent_basis == "stated"
                else "no consent data: taken under the consent assumed for this source"
            )
            lines.append(
                f"  {source.source}: {source.event_count:,} events, {basis} "
                f"(analytics {source.analytics_count:,}, "
                f"personalization {source.personalization_count:,})"
            )
        lines.append(f"  identities: {self.identities.in_words()}")
        if self.segments:
            sizes = ", ".join(
                f"{name} {size:,}" for name, size in self.segments.items()
            )
            lines.append(f"  segments now: {sizes}")
        for line in self.experiments:
            lines.append(f"  {line.experiment_key}, {line.metric_name}: {line.verdict}")
        if self.changes is not None:
            lines += self.changes.in_words()
        lines += [f"Page:     {self.page}", f"Features: {self.online_store}"]
        return "\n".join(lines)


def summarize_release(settings: Settings) -> RunSummary:
    """Reads the summary from `published`."""
    import duckdb

    release = settings.published.resolve()
    manifest = read_manifest(release)
    assert manifest is not None
    connection = duckdb.connect()

    def rows(query: str) -> list[tuple[object, ...]]:
        return connection.execute(query).fetchall()

    humans = rows(
        "select count(*), count(*) filter (where purchase_count > 0) "
        f"from {scan(release, 'fct_sessions')} where not is_bot"
    )[0]
    sessions, converted = int(str(humans[0])), int(str(humans[1]))
    sources = rows(
        "select source, consent_basis, sum(event_count)::bigint, "
        "coalesce(sum(event_count) filter (where has_analytics_consent), 0)::bigint, "
        "coalesce(sum(event_count) filter (where has_personalization_consent), 0)"
        f"::bigint from {scan(release, 'ops_collection_audit')} "
        "group by all order by all"
    )
    links = {
        reason: int(str(count))
        for reason, count in rows(
            f"select refused_reason, count(*) from {scan(release, 'fct_identity_links')} "
            "group by all order by all"
        )
    }
    known = rows(f"select count(*) from {scan(release, 'dim_persons')} where is_known")[
        0
    ][0]
    segments = rows(
        f"select segment, count(*) from {scan(release, 'fct_segments')} "
        "where is_current and segment_kind = 'rule' group by all order by all"
    )
    experiments = rows(
        "select experiment_key, metric_name, variant_key, estimate, ci_low, ci_high, "
        f"verdict from {scan(release, 'fct_experiment_results')} order by all"
    )
    return RunSummary(
        release_id=manifest.release_id,
        data_up_to=manifest.data_up_to,
        event_count=manifest.tables["fct_events"].rows,
        session_count=manifest.tables["fct_sessions"].rows,
        person_count=manifest.tables["dim_persons"].rows,
        order_count=manifest.tables["fct_orders"].rows,
        conversion_rate=converted / sessions if sessions else None,
        quarantined_count=manifest.tables["ops_quarantine"].rows,
        sources=tuple(SourceConsent(*row) for row in sources),  # type: ignore[arg-type]
        identities=Identities(
            known_person_count=int(str(known)),
            held_link_count=links.pop(None, 0),
            refused={str(reason): count for reason, count in links.items()},
        ),
        segments={str(name): int(str(size)) for name, size in segments},
        experiments=tuple(ExperimentLine(*row) for row in experiments),  # type: ignore[arg-type]
        page=str(settings.site / "index.html"),
        online_store=str(settings.online),
        changes=read_changes(settings, manifest.release_id),
    )

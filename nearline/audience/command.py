"""`nearline audience`: a segment's people, for another system."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.progress import progress_bar
from nearline.settings import Settings, load_settings

if TYPE_CHECKING:
    from nearline.audience.members import Audience

_REASONS = {
    "refused": "said no",
    "never_asked": "were never asked",
    "suppressed": "erased or opted out since the release",
}


@click.group(
    epilog="Example: nearline audience export cart_abandoner --to csv --out carts.csv",
    short_help="Hand a segment's people to another system.",
)
def audience() -> None:
    """Segments for e-mail, ads and apps; see docs/segments.md."""


@audience.command(
    name="export",
    epilog="Example: nearline audience export cart_abandoner --to webhook "
    "--url https://crm.example/audiences",
)
@click.argument("segment", metavar="SEGMENT")
@click.option(
    "--to",
    "target",
    type=click.Choice(["csv", "parquet", "webhook"]),
    required=True,
    help="A file, or signed batches over HTTP.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; for csv and parquet.",
)
@click.option("--url", help="Where batches are posted; for webhook.")
@click.option(
    "--purpose",
    type=click.Choice(["marketing", "personalization"]),
    default="marketing",
    show_default=True,
    help="What the people must have consented to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def export_command(
    segment: str,
    target: str,
    out: Path | None,
    url: str | None,
    purpose: str,
    as_json: bool,
) -> None:
    """Export who is in SEGMENT now and has consented to the purpose.

    SEGMENT is a rule segment, a cluster or a hybrid, as fct_segments of the published
    release has it. Ids are pseudonyms. A webhook's batches are signed with the secret in
    NEARLINE_AUDIENCE_SECRET. What is exported is out of erasure's reach: export again
    rather than keep.
    """
    from nearline.audience.members import read_audience

    settings = load_settings()
    _check_options(settings, target, out, url)
    found = read_audience(settings, segment, purpose)  # type: ignore[arg-type]
    batch_count = None
    if out is not None:
        from nearline.audience.files import write_members

        write_members(found.members, out, target)  # type: ignore[arg-type]
    else:
        assert url is not None
        batch_count = _send(settings, found, url)
    if as_json:
        print_json(
            {
                "segment": segment,
                "purpose": purpose,
                "release_id": found.release_id,
                "member_count": found.members.num_rows,
                "left_out": dict(found.left_out),
                "out": None if out is None else str(out),
                "batch_count": batch_count,
            }
        )
        return
    where = f"in {out}"
    if out is None:
        where = f"sent in {batch_count} {'batch' if batch_count == 1 else 'batches'}"
    click.echo(
        f"{found.members.num_rows:,} people of {segment} who consented to {purpose}, "
        f"{where} (release {found.release_id})"
    )
    reasons = [
        f"{count:,} {_REASONS[reason]}"
        for reason, count in found.left_out.items()
        if count
    ]
    click.echo(f"left out: {', '.join(reasons) or 'nobody'}")


def _check_options(
    settings: Settings, target: str, out: Path | None, url: str | None
) -> None:
    if target == "webhook":
        from nearline.audience.webhook import check_url

        if url is None or out is not None:
            raise InputError("--to webhook takes --url, and no --out")
        check_url(url)
        secret = settings.audience_secret
        if secret is None or not secret.get_secret_value():
            raise InputError(
                "NEARLINE_AUDIENCE_SECRET is not set; batches are signed with it, so "
                "give the webhook's receiver the same"
            )
    elif out is None or url is not None:
        raise InputError(f"--to {target} takes --out, and no --url")


def _send(settings: Settings, found: "Audience", url: str) -> int:
    from nearline.audience.webhook import Webhook, batches, send

    assert settings.audience_secret is not None
    secret = settings.audience_secret.get_secret_value().encode()
    requests = batches(found)
    with progress_bar("audience", len(requests)) as bar:
        send(
            Webhook(url, secret, clock=time.time, pause=time.sleep),
            requests,
            on_batch=lambda: bar.advance(1),
        )
    return len(requests)

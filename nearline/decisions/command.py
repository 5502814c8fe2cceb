"""`nearline serve`, `nearline decide` and `nearline policy`: options and words."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.bandits.command import evaluate, learn
from nearline.cli import print_json
from nearline.collector.config import DEVELOPMENT_KEY, Trust
from nearline.collector.workers import address, listens, names_key_holder
from nearline.collector.workers import serve as serve_app
from nearline.errors import InputError
from nearline.settings import Settings, load_settings

if TYPE_CHECKING:
    from nearline.decisions.service import Decided, Decision
    from nearline.yaml_forms import FileProblem

_APP = "nearline.decisions.app:create_app_from_environment"
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)


@click.group(
    invoke_without_command=True,
    epilog="Example: nearline serve --port 8090 --workers 2",
    short_help="Answer what to show whom, over HTTP.",
)
@listens(8090)
@click.pass_context
def serve(
    context: click.Context, host: str, port: int, workers: int, as_json: bool
) -> None:
    """Answer what to show whom until stopped; see docs/decisions-api.md.

    Keys and limits are in $NEARLINE_HOME/applications.json, policies in
    $NEARLINE_HOME/policies. Decisions go to the event log.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    # What is damaged is told of here, and not by each worker.
    from nearline.decisions.applications import load_applications
    from nearline.decisions.policy_files import load_policies
    from nearline.decisions.response_cache import open_response_cache
    from nearline.privacy.pseudonyms import load_pseudonymizer

    applications = load_applications(settings)
    policies = load_policies(settings, datetime.now(UTC))
    open_response_cache(settings).close()
    load_pseudonymizer(settings)
    url = address(host, port)
    if as_json:
        print_json(
            {
                "url": url,
                "slots": sorted(policies.slots),
                "policies": _place_of_policies(settings),
                "is_development": applications.is_development,
            }
        )
    else:
        click.echo(f"decisions  {url}  (docs: {url}/docs)")
        click.echo(f"policies   {_place_of_policies(settings)}")
        click.echo(f"slots      {', '.join(sorted(policies.slots))}")
    if applications.is_development:
        click.echo(
            f"warning: the key {DEVELOPMENT_KEY} is known to all and may ask for "
            "everything; make one with `nearline serve new-key --source web --origin "
            "https://shop.example`",
            err=True,
        )
    serve_app(settings, _APP, host, port, workers)


@serve.command(
    name="new-key",
    epilog="Example: nearline serve new-key --source web --origin https://shop.example",
)
@names_key_holder
def new_key(source: str, origins: tuple[str, ...], trust: Trust, as_json: bool) -> None:
    """Make a key and add it to applications.json; a running service needs a restart."""
    from nearline.decisions.applications import add_application

    settings = load_settings()
    key = add_application(settings, source, list(origins), trust)
    if as_json:
        print_json({"key": key, "file": settings.applications})
    else:
        click.echo(key)
        click.echo(f"added to {settings.applications}", err=True)


@click.group(
    epilog="Example: nearline policy check",
    short_help="Check policies; judge and learn them by the log.",
)
def policy() -> None:
    """Slots, blocks and policies as YAML files, and policies judged by the log.

    See docs/decisions-api.md and docs/off-policy.md.
    """


policy.add_command(evaluate)
policy.add_command(learn)


@policy.command(epilog="Example: nearline policy check policies/home.yml")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@_json_option
def check(path: Path | None, as_json: bool) -> None:
    """Say whether the policies of PATH, a file or a folder, can be served.

    Without PATH: those that `nearline serve` follows. Every mistake is listed with its
    file, field and fix, and the exit code is then 2.
    """
    from nearline.decisions.policy_files import (
        PolicyError,
        files_of,
        load_triggers,
        policy_paths,
        read_policies,
    )
    from nearline.decisions.vocabulary import known_names, known_segments
    from nearline.experiments.registry import load_registry

    settings = load_settings()
    if path is not None and not path.exists():
        raise InputError(
            f"{path} does not exist; give a policy file or a folder of them"
        )
    paths = policy_paths(settings) if path is None else files_of(path)
    names = known_names(settings.dbt_project)
    problems: tuple[FileProblem, ...] = ()
    try:
        now = datetime.now(UTC)
        found = read_policies(
            paths,
            names,
            lambda: load_triggers(settings),
            known_segments(settings.dbt_project),
            with_learnt=True,
            experiments=lambda: load_registry(settings, now),
        )
    except PolicyError as problem:
        problems = problem.problems
    if as_json:
        print_json(
            {
                "files": [str(one) for one in paths],
                "problems": [
                    {"file": one.file, "field": one.field, "message": one.message}
                    for one in problems
                ],
            }
        )
    elif problems:
        click.echo("\n".join(f"error: {one}" for one in problems), err=True)
    else:
        click.echo(
            f"{len(paths)} file{'s' * (len(paths) != 1)}: {len(found.slots)} slots, "
            f"{len(found.blocks)} blocks, {len(found.policies)} policies; all of it can "
            "be served"
        )
    if problems:
        raise click.exceptions.Exit(InputError.exit_code)


@click.command(
    epilog="Example: nearline decide --visitor v_3b1de39e5a7fcdc2 --slot home_carousel "
    "--explain",
    short_help="Show what a visitor would see now, and why.",
)
@click.option("--visitor", required=True, help="A pseudonym, v_…")
@click.option(
    "--slot", "slots", multiple=True, help="May be given several times. Default: all."
)
@click.option("--item", help="Item of the page.")
@click.option("--page-type", help="Such as home, product.")
@click.option("--channel", help="How the visitor came.")
@click.option(
    "--without-consent", is_flag=True, help="As if the visitor had said yes to nothing."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed draws other content to explore.",
)
@click.option(
    "--explain", is_flag=True, help="Show what was asked on the way, and odds."
)
@_json_option
def decide(
    visitor: str,
    slots: tuple[str, ...],
    item: str | None,
    page_type: str | None,
    channel: str | None,
    without_consent: bool,
    seed: int,
    explain: bool,
    as_json: bool,
) -> None:
    """Show what a visitor would see now. A preview: nothing goes to the event log."""
    from nearline.decisions.knowing import Consents, Page
    from nearline.decisions.preview import preview

    said_yes = not without_consent
    decided = preview(
        load_settings(),
        visitor,
        slots,
        Consents(said_yes, said_yes, said_yes),
        Page(page_type=page_type, item=item, channel=channel),
        seed,
    )
    if as_json:
        from nearline.decisions.answers import decide_answer

        answer = decide_answer(decided)
        for name, decision in decided.decisions.items():
            answer["slots"][name]["steps"] = [
                {
                    "policy": step.policy or None,
                    "asked": step.asked,
                    "found": step.found,
                }
                for step in decision.choice.steps
            ]
            answer["slots"][name]["candidates"] = decision.choice.candidates
        print_json(answer)
    else:
        lines = [
            line
            for name, decision in decided.decisions.items()
            for line in _words(name, decision, explain)
        ]
        if explain:
            lines += _words_about(decided)
        click.echo("\n".join(lines))


def _place_of_policies(settings: Settings) -> str:
    folder = settings.policy_folder
    return str(folder) if folder.is_dir() else f"as shipped (there is no {folder})"


def _words(name: str, decision: "Decision", explain: bool) -> list[str]:
    choice = decision.choice
    by = choice.policy or "no policy"
    lines = [f"{name}: {choice.reason} ({choice.outcome}, by {by})"]
    if choice.block is not None:
        shown = ", ".join(
            f"{key} {text!r}" for key, text in choice.block.content.items()
        )
        lines.append(f"  {choice.block.kind} {choice.block.name}: {shown}")
    width = max((len(item.item_id) for item in choice.items), default=0)
    for place, item in enumerate(choice.items, 1):
        odds = f"  (odds {item.place_probability:.3f})" if explain else ""
        lines.append(f"  {place:>2}  {item.item_id.ljust(width)}  {item.reason}{odds}")
    if choice.fallback is not None:
        from nearline.decisions.answers import WORDS_OF_FALLBACKS

        why = WORDS_OF_FALLBACKS.get(choice.fallback, choice.fallback)
        lines.append(f"  less than was asked for: {why}")
    if explain:
        lines += [
            "  "
            + ": ".join(part for part in (one.policy, one.asked, one.found) if part)
            for one in choice.steps
        ]
        lines.append(
            f"  odds {choice.probability:.3f}, {len(choice.candidates)} candidates, "
            f"policy version {choice.policy_version}"
        )
    return lines


def _words_about(decided: "Decided") -> list[str]:
    known, lists = decided.known, decided.lists
    age = known.feature_age_seconds
    seen = "nothing is known of the visitor"
    if known.features is None:
        seen = "no features were read"
    elif known.is_known:
        seen = "features of the visitor, the newest " + (
            "of now" if age is None else f"{age:,.0f} s old"
        )
    version = lists.version
    model = "no recommender" if version is None else f"recommender v{version}"
    return [
        f"known      {seen}",
        f"made by    {model}, with events up to {lists.as_of or 'its training'}",
    ]

"""`nearline truth`: were the numbers right? Only a simulated shop can tell."""

from dataclasses import asdict
from pathlib import Path

import click

from nearline.cli import print_json
from nearline.settings import load_settings
from nearline.simulate.comparison import compare_with_truth
from nearline.simulate.live_comparison import compare_live, is_live


@click.command(
    epilog="Example: nearline truth shop",
    short_help="Compare what is published with a simulated shop's truth.",
)
@click.argument("shop", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def truth(shop: Path, as_json: bool) -> None:
    """Compare what is published with SHOP, the folder that `simulate` wrote.

    Sessions, bots, persons and the experiment's effects, each beside what is true. Of
    what `simulate --live` wrote: what personal answers are worth, beside the estimates.
    """
    if is_live(shop):
        found_live = compare_live(load_settings().published, shop)
        if as_json:
            print_json(found_live)
        else:
            click.echo(found_live.in_words())
        return
    comparison = compare_with_truth(load_settings().published, shop)
    if as_json:
        found = asdict(comparison)
        found["persons"] |= {
            "precision": comparison.persons.precision,
            "recall": comparison.persons.recall,
        }
        print_json(found)
    else:
        click.echo(comparison.in_words())

"""Data Docs: the pages that tell what was checked, without the data.

Belongs here: rendering cleaned results, and making the pages stand alone. Great
Expectations' own pages load scripts, styles and pictures from eight hosts, which tells
those hosts who reads them, and show an empty list without a network; so outside parts
are taken out and the front page is ours. Not here: evaluating anything.
"""

import html
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from expectations.results import CheckResult
from expectations.validation import Evaluation, quiet_library

_OUTSIDE = re.compile(
    r"<script\b.*?</script>"
    r"|<link\b[^>]*href=[\"']https?:[^>]*>"
    r"|<img\b[^>]*src=[\"']https?:[^>]*>"
    r"|<footer\b.*?</footer>"
    r"|background: url\([\"']https?:[^)]*\)[^;]*;",
    re.DOTALL | re.IGNORECASE,
)
_HEAD = """<meta http-equiv="Content-Security-Policy"
 content="default-src 'self' 'unsafe-inline' data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem;
 padding: 0 1rem; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
td, th { border-bottom: 1px solid #d8dee4; padding: .3rem .6rem; text-align: left;
 vertical-align: top; }
.failed, .errored { color: #b3261e; font-weight: 600; }
.warned { color: #8a5a00; font-weight: 600; }
</style>
"""


def build_data_docs(
    evaluation: Evaluation,
    results: Sequence[CheckResult],
    directory: Path,
    run_name: str,
    run_time: datetime,
) -> None:
    """Writes the pages into `directory`, in place of those of the run before.

    `index.html` lists the suites and whatever did not pass, and links a page per suite.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        _render(evaluation, draft, run_name, run_time)
        for page in draft.rglob("*.html"):
            page.write_text(_standing_alone(page.read_text()))
        index = _index_page(draft, results, run_name, run_time)
        (draft / "index.html").write_text(index)
        draft.chmod(0o755)
        old = draft.with_name(f"{draft.name}.old")
        if directory.exists():
            directory.rename(old)
        draft.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _render(
    evaluation: Evaluation, directory: Path, run_name: str, run_time: datetime
) -> None:
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    context = evaluation.context
    run_id = RunIdentifier(run_name=run_name, run_time=run_time)
    with quiet_library():
        for name, validation in evaluation.validations:
            validation.meta["run_id"] = run_id
            # Stored only now: what a run stores by itself is not cleaned yet.
            context.validation_results_store.set(
                ValidationResultIdentifier(
                    expectation_suite_identifier=ExpectationSuiteIdentifier(name=name),
                    run_id=run_id,
                    batch_identifier="release",
                ),
                validation,
            )
        context.add_data_docs_site(
            site_name="release",
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(directory),
                },
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            },
        )
        context.build_data_docs(site_names=["release"])
        context.delete_data_docs_site("release")


def _standing_alone(page: str) -> str:
    return _OUTSIDE.sub("", page).replace("</head>", f"{_HEAD}</head>", 1)


def _index_page(
    directory: Path, results: Sequence[CheckResult], run_name: str, run_time: datetime
) -> str:
    moment = run_time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    amiss = [result for result in results if result.status != "passed"]
    rows = "".join(
        f"<tr><td class='{_css_class(result)}'>{result.status} [{result.severity}]</td>"
        f"<td>{html.escape(result.message)}</td></tr>"
        for result in amiss
    )
    by_suite: dict[tuple[str, str], list[CheckResult]] = {}
    for result in results:
        by_suite.setdefault((result.table, result.topic), []).append(result)
    suites = "".join(
        _suite_row(directory, table, topic, members)
        for (table, topic), members in sorted(by_suite.items())
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Checks of {html.escape(run_name)}
</title>{_HEAD}</head><body>
<h1>Checks of {html.escape(run_name)}</h1>
<p>{moment}: {len(results)} checks, {len(results) - len(amiss)} passed.
Counts only: these pages hold no value of the data.</p>
<h2>Not passed</h2>
{f"<table>{rows}</table>" if amiss else "<p>Nothing.</p>"}
<h2>All suites</h2>
<table><tr><th>Table</th><th>Topic</th><th>Checks</th><th>Not passed</th><th>Rows</th>
</tr>{suites}</table>
</body></html>
"""


def _suite_row(
    directory: Path, table: str, topic: str, members: Sequence[CheckResult]
) -> str:
    name = html.escape(table)
    folder = directory / "validations" / table / topic
    for page in sorted(folder.rglob("*.html")):
        name = f"<a href='{page.relative_to(directory).as_posix()}'>{name}</a>"
        break
    amiss = sum(member.status != "passed" for member in members)
    row_count = max(member.checked_row_count for member in members)
    return (
        f"<tr><td>{name}</td><td>{topic}</td><td>{len(members)}</td>"
        f"<td>{amiss}</td><td>{row_count:,}</td></tr>"
    )


def _css_class(result: CheckResult) -> str:
    return result.status if result.severity == "block" else "warned"

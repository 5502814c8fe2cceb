"""Progress on a terminal, silence elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@dataclass(frozen=True, slots=True)
class Bar:
    """A running progress bar."""

    progress: Progress
    task: TaskID

    def advance(self, amount: float) -> None:
        self.progress.advance(self.task, amount)

    def reach(self, amount: float) -> None:
        """Sets the bar to where `amount` of the total is done."""
        self.progress.update(self.task, completed=amount)


@contextmanager
def progress_bar(title: str, total: float) -> Iterator[Bar]:
    """A bar on standard error while standard error is a terminal."""
    progress = Progress(
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with progress:
        yield Bar(progress, progress.add_task(title, total=total))

"""Progress on stderr: a bar a stage on a terminal, plain lines elsewhere. stdout is kept for results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]

EVERY = 15.0  # seconds between the plain lines of a stage


def say(message: str) -> None:
    """One plain line on stderr."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def stage(name: str, total: int, unit: str = "studies", done: int = 0, inner: bool = False) -> Iterator[Advance]:
    """A stage of ``total`` steps, ``done`` of them already made; the caller advances it.

    An ``inner`` one, which runs inside another stage, has no bar of its own.
    """
    started = time.monotonic()
    count = done
    if inner or not sys.stderr.isatty():
        said = started

        def line(by: int) -> None:
            nonlocal count, said
            count += by
            if time.monotonic() - said >= EVERY and count < total:
                said = time.monotonic()
                say(f"{name}: {count}/{total} {unit}, {said - started:.0f} s")

        yield line
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(name, total=total, completed=done)

            def bar(by: int) -> None:
                nonlocal count
                count += by
                bars.advance(task, by)

            yield bar
    resumed = f" ({done} were there)" if done else ""
    say(f"{name}: {count}/{total} {unit}{resumed}, {time.monotonic() - started:.1f} s")

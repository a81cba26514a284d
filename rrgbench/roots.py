"""Files below a root folder: no name that a table gives leads out of it, and every fault is named."""

from __future__ import annotations

from pathlib import Path

from rrgbench import quoting
from rrgbench.errors import RRGBenchError, UsageError


def locate(root: Path, name: str, source: str, what: str, error: type[RRGBenchError]) -> Path:
    """The file of this name below the root: no absolute path, no `..` and no link leads out of it.

    ``source`` says where the name stands, ``what`` what it is the name of. Raises ``error``.
    """
    resolved, shown = root.resolve(), quoting.name(name)
    try:
        file = (resolved / name).resolve()
        there = file.is_file()
    except (OSError, ValueError, RuntimeError) as problem:  # too long a name, a NUL in it, a circle of links
        why = problem.strerror if isinstance(problem, OSError) else problem  # an OSError's own text has the name in it
        raise error(f"{source}: {shown} can't be the name of an {what} ({why}).") from None
    if not file.is_relative_to(resolved):
        raise error(f"{source}: the {what} {shown} lies outside of {_named(root)}; put it below that folder.")
    if not there:
        raise error(f"{source}: the {what} {shown} is not in {_named(root)}.")
    return file


def _named(root: Path) -> str:
    return "this folder" if root == Path() else str(root)


def read_text(root: Path, name: str, source: str, what: str = "report") -> str:
    """The text of a file below the root, of at most a megabyte. Raises UsageError."""
    file = locate(root, name, source, what, UsageError)
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise UsageError(
                f"{source}: the {what} {quoting.name(name)} has more than {MAX_TEXT_BYTES:,} bytes: no {what} has."
            )
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise UsageError(f"{source}: the {what} {quoting.name(name)} is not UTF-8 at byte {problem.start}.") from None
    except OSError as problem:
        raise UsageError(f"{source}: the {what} {quoting.name(name)} can't be read ({problem.strerror}).") from None


MAX_TEXT_BYTES = 1_000_000


def folder(path: Path, dataset: str) -> Path:
    """The root folder of a dataset. Raises UsageError where it isn't one."""
    if not path.is_dir():
        raise UsageError(f"{path}: the dataset {dataset} is read from a folder, and there is none of this name.")
    return path

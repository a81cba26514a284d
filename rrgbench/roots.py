"""Files below a root folder: no name that a table gives leads out of it, and every fault is named."""

from __future__ import annotations

from pathlib import Path

from rrgbench.errors import RRGBenchError, UsageError


def locate(root: Path, name: str, source: str, what: str, error: type[RRGBenchError]) -> Path:
    """The file of this name below the root: no absolute path, no `..` and no link leads out of it.

    ``source`` says where the name stands, ``what`` what it is the name of. Raises ``error``.
    """
    resolved = root.resolve()
    try:
        file = (resolved / name).resolve()
        there = file.is_file()
    except (OSError, ValueError, RuntimeError) as problem:  # too long a name, a NUL in it, a circle of links
        raise error(f"{source}: {name[:80]!r} can't be the name of an {what} ({problem}).") from problem
    if not file.is_relative_to(resolved):
        raise error(f"{source}: the {what} {name!r} lies outside of {root}; put it below that folder.")
    if not there:
        raise error(f"{source}: the {what} {name!r} is not in {root}.")
    return file


def read_text(root: Path, name: str, source: str, what: str = "report") -> str:
    """The text of a file below the root, of at most a megabyte. Raises UsageError."""
    file = locate(root, name, source, what, UsageError)
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise UsageError(f"{source}: the {what} {name!r} has more than {MAX_TEXT_BYTES:,} bytes: no {what} has.")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise UsageError(f"{source}: the {what} {name!r} is not UTF-8 at byte {problem.start}.") from None
    except OSError as problem:
        raise UsageError(f"{source}: the {what} {name!r} can't be read ({problem.strerror}).") from None


MAX_TEXT_BYTES = 1_000_000


def folder(path: Path, dataset: str) -> Path:
    """The root folder of a dataset. Raises UsageError where it isn't one."""
    if not path.is_dir():
        raise UsageError(f"{path}: the dataset {dataset} is read from a folder, and there is none of this name.")
    return path

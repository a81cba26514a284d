"""What a manifest says of the software that made a run."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

_ALWAYS = ("rrgbench", "numpy", "pandas", "torch", "timm", "transformers", "openai", "pycocoevalcap")


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of Python, of these distributions, and of the libraries whose versions move numbers."""
    found = {"python": platform.python_version()}
    for name in sorted({*_ALWAYS, *distributions}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The commit of the working directory, with "+changes" where files differ from it; None outside a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()

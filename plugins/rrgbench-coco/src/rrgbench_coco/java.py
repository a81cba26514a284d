"""Whether Java is there. pycocoevalcap's PTB tokenizer and its METEOR are Java programs."""

from __future__ import annotations

import shutil

from rrgbench.errors import UsageError

INSTALL = "install a Java runtime, e.g. apt install default-jre-headless"


def require(what: str, otherwise: str) -> None:
    """Raise UsageError if there is no ``java`` on the PATH: ``what`` needs it, ``otherwise`` is the way without it."""
    if shutil.which("java") is None:
        raise UsageError(
            f"{what} needs Java, and there is no program 'java' on the PATH: {INSTALL}. Without Java: {otherwise}."
        )

"""How fast ``rulelabel`` labels, on one core: ``python benchmarks/rulelabel_speed.py [FOLDER]``.

Labels the real reports of the Indiana University collection (FOLDER holds NLMCXR_reports.tgz), once as they come, with
an empty memory of sentences, and once without that memory, as if no sentence came twice. Nothing of them is printed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rrgbench.datasets.iu_xray import IUXray
from rrgbench.labelers import rules
from rrgbench.text.sections import joined

TARGET = 1000  # reports a second


def main() -> None:
    shared = Path(os.environ.get("RRGBENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else shared / "data" / "iu-xray"
    if not folder.exists():
        print(f"rulelabel_speed: the IU X-Ray reports are not in {folder}; nothing to measure")
        return
    texts = [joined(study.sections) for study in IUXray(root=folder).load(None)]
    print(f"{len(texts)} reports of {sum(map(len, texts)) / len(texts):.0f} characters on average")
    labeler = rules.RuleLabeler()
    labeler.label(texts[:10])  # loads and compiles what the first call needs
    rules.said_in.cache_clear()
    measure("as they come", texts, lambda: labeler.label(texts))
    remembering = rules.said_in
    rules.said_in = remembering.__wrapped__  # type: ignore[assignment]
    measure("no sentence remembered", texts, lambda: labeler.label(texts))
    rules.said_in = remembering
    measure("mentions with place and span", texts, lambda: [rules.mentions(text) for text in texts])


def measure(name: str, texts: Sequence[str], work: Callable[[], object]) -> None:
    started = time.process_time()
    work()
    rate = len(texts) / (time.process_time() - started)
    print(f"{name}: {rate:.0f} reports/s of CPU time, {rate / TARGET:.1f} times the target of {TARGET}")


if __name__ == "__main__":
    main()

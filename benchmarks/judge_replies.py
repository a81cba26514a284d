"""How far a language model can be held to what judges ask: ``python benchmarks/judge_replies.py DATASET LLM [N]``.

N pairs (30) of real reports: the findings of each of a dataset's first patients, against those of the next patient.
Each judge asks the model of every pair. Printed are how many questions there were, which share of the replies could be
read at once and after the one retry, how often the commonest reply came, how many reports got a score, and the tokens
a report. Such data have no reasoning: a report's own sentences stand in for it. ``DATASET`` and ``LLM`` are
specs, as in

    iu-xray:root=NLMCXR_reports.tgz    local:model=model.gguf,threads=2
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from rrgbench import harness, planning, plugins
from rrgbench.parts import build
from rrgbench.protocols import protocol
from rrgbench.specs import Spec

FOLDER = Path("runs/judge-replies")  # where the replies stay: the same command goes on where it was stopped
JUDGES = {
    "green": "green",
    "chexprompt": "chexprompt_significant_errors",
    "gema": "gema_objective",
    "crimson": "crimson",
    "radrscore": "radrscore",
    "radfact": "radfact_logical_f1",
}


def pairs(dataset: str, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reports and references, a patient each, all of them real."""
    findings = protocol("findings")
    _, studies = planning.select(build(plugins.catalogue(), "dataset", dataset), None, None)
    first = {study.patient_id: study for study in reversed(studies) if findings.reference(study)}
    chosen = [study for study in studies if first.get(study.patient_id) is study][: number + 1]
    texts = [findings.reference(study) or "" for study in chosen]
    if len(texts) <= number:
        sys.exit(f"{dataset} has findings of only {len(texts)} patients.")
    ids = [study.study_id for study in chosen[:number]]
    references = pd.DataFrame({"study_id": ids, "report": [f"FINDINGS: {text}" for text in texts[:number]]})
    reports = pd.DataFrame({"study_id": ids, "report": [f"FINDINGS: {text}" for text in texts[1:]]})
    reports["reasoning"] = [steps(text) for text in texts[1:]]
    references["reasoning"] = [steps(text) for text in texts[:number]]
    return reports, references


def steps(text: str) -> str:
    """A report's sentences as steps."""
    return "\n".join(f"{at}. {each}" for at, each in enumerate(re.split(r"(?<=[.!?])\s+", text), 1))


def main(dataset: str, llm: str, number: int = 30, folder: Path = FOLDER) -> None:
    """Print the table, a line a judge."""
    reports, references = pairs(dataset, number)
    heads = (
        "judge",
        "questions",
        "read at once",
        "after a retry",
        "the same reply",
        "reports scored",
        "score",
        "tokens",
    )
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|")
    folder.mkdir(parents=True, exist_ok=True)
    references.to_csv(folder / "references.csv", index=False)
    reports.to_csv(folder / "reports.csv", index=False)
    for judge, score in JUDGES.items():
        options = {"judge": llm} | ({"reasoning": str(folder / "references.csv")} if judge == "radrscore" else {})
        result = harness.score(
            folder / "reports.csv",
            folder / "references.csv",
            metrics=[Spec(judge, options)],
            protocol="findings",
            terms="open",
            out=folder,
        )
        (used,) = result.manifest["judges"].values()
        made = next(each for each in result.summary["scores"] if each["metric"] == score)  # the new one comes first
        questions = used["questions"]
        value = "none" if made["value"] is None else f"{made['value']:.3f}"
        tokens = ((used["prompt_tokens"] or 0) + (used["completion_tokens"] or 0)) / number
        print(
            f"| `{judge}` | {questions} | {used['read_at_once'] / questions:.2f} | {used['read'] / questions:.2f}"
            f" | {used['most_alike']} | {made['n']} of {number} | {value} | {tokens:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("judge_replies.py is left out: it needs a dataset with real reports, and a language model")
        sys.exit()
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

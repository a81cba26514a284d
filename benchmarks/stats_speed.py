"""How fast intervals and paired tests are: ``python benchmarks/stats_speed.py [PAIRS]``.

On 3,858 studies (as many as MIMIC-CXR's test images with findings; a patient has one to nine of them) and two cores:

- 1,000 resamples of every lexical, clinical and classification metric that works here without a model, and the 400
  groups of patients left out that BCa needs, together; the aim is 5 s;
- 10,000 paired swaps of BLEU-4 and macro F1; the aim is 10 s. Beside it, what the same test takes where the corpus
  metric is computed again for each swap, as RadEval does: a few swaps are measured and the rest extrapolated, with
  texts cut into words and labels read beforehand, which favours it.

The pairs are invented (metrics_ratio.py). The times leave out computing the rows, which a run does once.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from metrics_ratio import PAIRS, coco, pairs
from sklearn.metrics import f1_score

from rrgbench import stats
from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.parts import Part, build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Finding, Findings, Report, Status, Study

METRICS = (
    *("bleu", "rouge_l", "cider", "meteor", "sacrebleu", "rouge_score", "meteor_nltk", "wording"),
    *("rulelabel", "temporal_f1", "classification"),
)
RESAMPLES, SWAPS, RECOMPUTED = 1000, 10_000, 5


def cases(of: Sequence[tuple[str, str]]) -> list[Case]:
    """The pairs as cases, with the phantom's labels and an encoder that is wrong here and there."""
    rng = random.Random(1)
    out = []
    for at, (study, (made, truth)) in enumerate(zip(Phantom(n=len(of)).load(None), of, strict=True)):
        findings = {}
        for label in CHEXPERT.labels:
            present = study.labels is not None and study.labels.status(label) is Status.PRESENT
            belief = min(1.0, max(0.0, 0.3 + 0.3 * present + rng.gauss(0, 0.2)))
            findings[label] = Finding(label, Status.PRESENT if belief > 0.5 else Status.ABSENT, belief)
        named = Study(f"s{at}", f"p{at // 5 + at % 3}", labels=study.labels)
        out.append(Case(named, Findings(CHEXPERT, findings), Report(made), made, truth))
    return out


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time: the shortest of three."""
    found = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def rows_of(names: Sequence[str], of: Sequence[Case]) -> list[tuple[Part, pd.DataFrame]]:
    out = []
    for name in names:
        try:
            part = build(catalogue(), "metric", name)
        except UsageError as error:
            print(f"{name}: not measured ({error})")
            continue
        out.append((part, part.obj.rows(of)))
    return out


def resampled(of: Sequence[tuple[Part, pd.DataFrame]], patients: Sequence[str]) -> None:
    print(f"\n{RESAMPLES:,} resamples of {len(patients):,} studies of {len(set(patients)):,} patients")
    print(f"{'':28} {'scores':>6} {'wall s':>7} {'CPU s':>7} {'left out, CPU s':>16}")
    total = np.zeros(3)
    draws = timed(lambda: stats.patient_weights(patients, RESAMPLES, 0))
    weights, left_out = stats.patient_weights(patients, RESAMPLES, 0), stats.left_out_weights(patients)
    for part, rows in of:
        wall, cpu = timed(partial(part.obj.reduce, rows, weights))
        _, without = timed(partial(part.obj.reduce, rows, left_out))
        print(f"{part.name:28} {len(part.obj.reduce(rows)):6} {wall:7.2f} {cpu:7.2f} {without:16.2f}", flush=True)
        total += (wall, cpu, without)
    total[:2] += draws
    print(f"{'all, and drawing':28} {'':6} {total[0]:7.2f} {total[1]:7.2f} {total[2]:16.2f}   (aim: 5)")


def swapped(one: Sequence[Case], other: Sequence[Case], patients: Sequence[str]) -> None:
    print(f"\n{SWAPS:,} paired swaps of patients, both systems scored after each")
    sides = [rows_of(("bleu", "rulelabel"), each) for each in (one, other)]
    beside = [(part, pd.concat([rows, theirs])) for (part, rows), (_, theirs) in zip(*sides, strict=True)]

    def ours() -> None:
        for part, rows in beside:
            for weights in stats.swap_weights(patients, SWAPS, 0):
                part.obj.reduce(rows, weights)
                part.obj.reduce(rows, 1 - weights)

    wall, cpu = timed(ours)
    print(f"rrgbench, BLEU-1 to 4 and all clinical scores: {wall:.1f} s (CPU {cpu:.1f} s); the aim is 10 s")
    bleu, rng = coco("bleu", ptb=False), np.random.default_rng(0)
    clinical = beside[-1][1]
    labels = (clinical.filter(like="report_").to_numpy() == 1).reshape(2, len(one), -1)
    truth = clinical.filter(like="reference_").to_numpy()[: len(one)] == 1

    def again() -> None:
        swap = rng.random(len(one)) < 0.5
        for mine in (swap, ~swap):
            texts = [(a if own else b) for a, b, own in zip(one, other, mine, strict=True)]
            bleu([(case.candidate or "", case.reference or "") for case in texts])
            f1_score(truth, np.where(mine[:, None], *labels), average="macro", zero_division=0)

    each_wall, each_cpu = (seconds / RECOMPUTED for seconds in timed(lambda: [again() for _ in range(RECOMPUTED)]))
    print(
        f"computed again each time, BLEU and macro F1: {each_cpu:.2f} s of CPU a swap (mean of {RECOMPUTED}),", end=""
    )
    print(f" {each_wall * SWAPS / 3600:.1f} h for all: {each_cpu * SWAPS / cpu:.0f} times as long, extrapolated")


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    texts = pairs(number)
    one = cases(texts)
    rng = random.Random(2)
    other = cases([(" ".join(w for w in made.split() if rng.random() > 0.05), truth) for made, truth in texts])
    patients = [case.study.patient_id for case in one]
    resampled(rows_of(METRICS, one), patients)
    swapped(one, other, patients)


if __name__ == "__main__":
    main()

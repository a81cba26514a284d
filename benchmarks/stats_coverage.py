"""How often 95 % intervals hold the truth: ``python benchmarks/stats_coverage.py [TRIALS] [PATIENTS ...]``.

Draws samples from populations whose true scores are known, makes an interval from each, and counts how many hold the
truth. With one study a patient, and with clusters: a geometric number of studies a patient (3.3 on average, at most
25), whose scores correlate by one half. The table of docs/statistics.md is what this prints.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist

import numpy as np

from rrgbench import stats
from rrgbench.metrics import counts
from rrgbench.stats import Array

TRIALS, PATIENTS, RESAMPLES = 200, (50, 100, 200, 600), 1000
ALIKE = 0.5  # the correlation of two studies of a patient
PREVALENCE = (0.40, 0.05, 0.20, 0.35, 0.06, 0.20, 0.10, 0.10, 0.25, 0.05, 0.25, 0.05, 0.05, 0.30)  # of 14 labels
_NORMAL = NormalDist()
_AT_LEAST = np.array([_NORMAL.inv_cdf(1 - share) for share in PREVALENCE])

Latent = Callable[..., Array]  # standard normal values, one (or an array of this shape) a row, alike within a patient
Statistic = Callable[[Array | None], Mapping[str, Array]]  # the scores under weights


def report_mean(latent: Latent, rng: np.random.Generator) -> Statistic:
    """A mean over reports, as ROUGE-L: skewed, and one report in twelve is its reference word for word."""
    values = np.where(latent() > 1.4, 1.0, _share(0.8 * latent() - 0.9))
    return lambda w: {"mean": stats.mean(values, _weights(w, values))}


def clinical_f1(latent: Latent, rng: np.random.Generator) -> Statistic:
    """Micro and macro F1 of 14 labels, some of them rare, and by how much two systems differ in micro F1."""
    truth = latent(14)
    called = [((share * truth + (1 - share**2) ** 0.5 * latent(14)) > _AT_LEAST).astype(float) for share in (0.85, 0.8)]
    true = (truth > _AT_LEAST).astype(float)

    def scores(w: Array | None) -> Mapping[str, Array]:
        one, other = (counts.averages("x", "14", true, each, _weights(w, true)) for each in called)
        return {
            "micro F1": one["x_micro_f1_14"],
            "macro F1": one["x_macro_f1_14"],
            "difference of micro F1": other["x_micro_f1_14"] - one["x_micro_f1_14"],
        }

    return scores


def corpus_bleu(latent: Latent, rng: np.random.Generator) -> Statistic:
    """BLEU-4 of the corpus, from n-grams matched and written and the lengths of both sides."""
    written, wanted = rng.poisson(np.exp(3.5 + 0.35 * latent())) + 4, rng.poisson(np.exp(3.7 + 0.4 * latent())) + 4
    matched, quality, matches = written, latent(), []
    for order, ease in enumerate((-0.6, -0.3, 0.0, 0.3)):
        matched = rng.binomial(np.minimum(matched, written - order), _share(ease + 0.7 * quality))
        matches.append(matched)
    rows = np.stack([*matches, *(written - order for order in range(4)), written, wanted], axis=1).astype(float)

    def scores(w: Array | None) -> Mapping[str, Array]:
        total = _weights(w, rows) @ rows
        precision = np.prod(total[:, :4] / total[:, 4:8], axis=1) ** 0.25
        return {"corpus BLEU-4": precision * np.exp(np.minimum(1 - total[:, 9] / total[:, 8], 0))}

    return scores


def classifier(prevalence: float) -> Callable[[Latent, np.random.Generator], Statistic]:
    """AUROC and average precision of a classifier whose scores lie 1.5 standard deviations apart."""

    def draw(latent: Latent, rng: np.random.Generator) -> Statistic:
        truth = latent() > _NORMAL.inv_cdf(1 - prevalence)
        score = 1.5 * truth + latent()

        def scores(w: Array | None) -> Mapping[str, Array]:
            auroc, precision = stats.areas(truth, score, w)
            return {f"AUROC, {prevalence:.0%} positive": auroc, f"AP, {prevalence:.0%} positive": precision}

        return scores

    return draw


POPULATIONS = (report_mean, clinical_f1, corpus_bleu, classifier(0.3), classifier(0.1))
METHODS = {
    "percentile": lambda value, drawn, left_out: stats.percentile_interval(drawn),
    "bca": stats.bca_interval,
}


def _share(logit: Array) -> Array:
    return 1 / (1 + np.exp(-logit))


def _weights(w: Array | None, rows: Array) -> Array:
    return stats.unit_weights(w, len(rows))


def _latent(rng: np.random.Generator, patient: Array, alike: float) -> Latent:
    def draw(*shape: int) -> Array:
        of_patient = rng.normal(size=(int(patient[-1]) + 1, *shape))[patient]
        return alike**0.5 * of_patient + (1 - alike) ** 0.5 * rng.normal(size=(len(patient), *shape))

    return draw


def truths(population: Callable[[Latent, np.random.Generator], Statistic]) -> dict[str, float]:
    """The scores of the whole population, from two million rows."""
    rng = np.random.default_rng(1)
    each = [population(_latent(rng, np.arange(200_000), 0.0), rng)(None) for _ in range(10)]
    return {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}


def coverage(
    population: Callable[[Latent, np.random.Generator], Statistic],
    patients: int,
    clustered: bool,
    trials: int,
    true: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """The share of the intervals that hold the truth, by score and by method."""
    rng = np.random.default_rng([patients, clustered])
    numbers = np.arange(patients)
    names = [f"{number:06d}" for number in numbers]
    draws = [stats.patient_weights(names, RESAMPLES, seed) for seed in range(10)]  # in turns: drawing takes time
    left_out = stats.left_out_weights(names)
    held: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for trial in range(trials):
        sizes = np.minimum(rng.geometric(0.3, patients), 25) if clustered else np.ones(patients, int)
        patient = np.repeat(numbers, sizes)
        scores = population(_latent(rng, patient, ALIKE if clustered else 0.0), rng)
        data, drawn, without = scores(None), scores(draws[trial % 10][:, patient]), scores(left_out[:, patient])
        for name, truth in true.items():
            for method, interval in METHODS.items():
                found = interval(float(data[name][0]), drawn[name], without[name])
                held[name][method].append(found is not None and found[0] <= truth <= found[1])
    return {name: {method: float(np.mean(each)) for method, each in of.items()} for name, of in held.items()}


def table(trials: int, patients: tuple[int, ...]) -> Iterator[str]:
    """The lines of the table."""
    yield f"| score | {' | '.join(f'{n}{mark}' for mark in ('', ' clustered') for n in patients)} |"
    yield "|---" * (1 + 2 * len(patients)) + "|"
    for population in POPULATIONS:
        true = truths(population)
        cells = [coverage(population, n, clustered, trials, true) for clustered in (False, True) for n in patients]
        for name in true:
            shown = [" → ".join(f"{cell[name][method] * 100:.1f}" for method in METHODS) for cell in cells]
            yield f"| {name} | {' | '.join(shown)} |"


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    trials, patients = (numbers or [TRIALS])[0], tuple(numbers[1:]) or PATIENTS
    print(f"% of {trials} intervals at 95 % that hold the truth, {' → '.join(METHODS)}, by number of patients\n")
    for line in table(trials, patients):
        print(line, flush=True)


if __name__ == "__main__":
    main()

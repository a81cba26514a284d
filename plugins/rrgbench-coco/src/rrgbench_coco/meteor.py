"""METEOR 1.5 (Denkowski & Lavie, WMT 2014): the Java program that pycocoevalcap bundles, kept on a short lead."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd
from pycocoevalcap.meteor import meteor as upstream  # type: ignore[import-untyped]

from rrgbench.errors import RunError
from rrgbench.stats import unit_weights
from rrgbench.types import Case
from rrgbench_coco import java, text
from rrgbench_coco.frames import frame, unwrap

# The parameters of `-l en` (task rank, Constants.java): table 1 of the paper.
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_MODULES = {"exact": 1.0, "stem": 0.6, "synonym": 0.8, "paraphrase": 0.6}

# The 23 numbers of METEOR's answer to SCORE, in its order (MeteorStats.toString).
_SIDES = ("candidate", "reference")
_COLUMNS = [
    *(f"meteor_{side}_{what}" for what in ("words", "function_words") for side in _SIDES),
    *(f"meteor_{module}_{side}_{kind}" for module in _MODULES for kind in ("content", "function") for side in _SIDES),
    "meteor_chunks",
    *(f"meteor_{side}_matches" for side in _SIDES),
]

# pycocoevalcap's command, with a heap for longer reports. The language is set because lower case depends on it.
_COMMAND = [
    *("java", "-Xmx4G", "-Duser.language=en", "-Dfile.encoding=UTF-8"),
    *("-jar", upstream.METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"),
]
_FOLDER = Path(upstream.__file__).parent

_SECONDS_TO_START = 180.0  # it reads 60 MB of paraphrases, 5 s on an idle core
_SECONDS_A_REPORT = 60.0  # 0.01 s is usual; and a second for each thousand characters
_MOST_FAILURES = 10  # each costs a fresh start, so a system that writes nothing else must not take days


class Meteor:
    """``meteor``, 0 to 1, higher is better: METEOR 1.5 of the corpus, from the summed statistics of the reports.

    Not the mean of the reports' scores. A report that METEOR can't do (no memory, no answer in time: some 100,000
    characters, or a thousand times the same word on both sides) gets a row of NaN and a warning that names it.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"meteor": True}

    def __init__(self, tokenizer: text.Tokenizer = "ptb") -> None:
        java.require(
            "The metric 'meteor' (METEOR 1.5, a Java program)",
            "there is no way, other METEORs give other scores",
        )
        self.tokenizer: text.Tokenizer = tokenizer

    @property
    def signature(self) -> str:
        """The versions of the library and of METEOR, and the options that METEOR is given."""
        return f"pycocoevalcap:{metadata.version('pycocoevalcap')}|meteor:1.5|l:en|norm:yes"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """METEOR's 23 statistics of each report; NaN where it gave none."""
        pairs = text.pairs(cases, self.tokenizer)
        places = [place for place, pair in enumerate(pairs) if pair is not None]
        asked = [f"SCORE ||| {_one_field(pair[1])} ||| {_one_field(pair[0])}" for pair in filter(None, pairs)]
        statistics = np.full((len(cases), len(_COLUMNS)), np.nan)
        failures: list[str] = []
        at = 0
        while at < len(asked):
            answers, why = ask(asked[at:])
            for answer in answers:
                statistics[places[at]] = [float(number) for number in answer.split()]
                at += 1
            if at < len(asked):
                failures.append(f"{cases[places[at]].study.study_id} ({len(asked[at])} characters: {why})")
                if len(failures) > _MOST_FAILURES:
                    raise RunError(f"METEOR failed on too many reports: {', '.join(failures)}.")
                at += 1
        if failures:
            warnings.warn(f"METEOR has no score for: {', '.join(failures)}.", stacklevel=2)
        return frame(cases, statistics, _COLUMNS)

    def reduce(
        self, rows: pd.DataFrame, weights: npt.NDArray[np.float64] | None = None
    ) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
        """METEOR of the summed statistics, as its EVAL answers. NaN where no row with statistics was drawn."""
        known = rows[_COLUMNS].dropna()
        drawn = unit_weights(weights, len(rows))[:, rows[_COLUMNS].notna().all(axis=1).to_numpy()]
        # MeteorStats.addStats: the one chunk of a report that matches its reference from end to end does not count.
        matched = {side: known.filter(regex=rf"_{side}_(content|function)$").sum(axis=1) for side in _SIDES}
        whole = known["meteor_chunks"].eq(1)
        for side in _SIDES:
            whole &= matched[side].eq(known[f"meteor_{side}_words"])
        known = known.assign(meteor_chunks=known["meteor_chunks"].mask(whole, 0))
        score = meteor(dict(zip(_COLUMNS, (drawn @ known.to_numpy(float)).T, strict=True)))
        return unwrap({"meteor": np.where(drawn.sum(axis=1) > 0, score, np.nan)}, weights)


def meteor(total: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The score of summed statistics (section 2 of the paper; MeteorScorer.computeMetrics); 0 without a match."""
    matches = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for side in _SIDES:
            content = sum(weight * total[f"meteor_{module}_{side}_content"] for module, weight in _MODULES.items())
            function = sum(weight * total[f"meteor_{module}_{side}_function"] for module, weight in _MODULES.items())
            words, function_words = total[f"meteor_{side}_words"], total[f"meteor_{side}_function_words"]
            weighted_words = _DELTA * (words - function_words) + (1 - _DELTA) * function_words
            matches[side] = (_DELTA * content + (1 - _DELTA) * function) / weighted_words
        precision, recall = matches["candidate"], matches["reference"]
        mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
        matched_words = (total["meteor_candidate_matches"] + total["meteor_reference_matches"]) / 2
        score = mean * (1 - _GAMMA * (total["meteor_chunks"] / matched_words) ** _BETA)
    return np.maximum(np.nan_to_num(score, nan=0.0), 0.0)


def ask(lines: Sequence[str]) -> tuple[list[str], str]:
    """METEOR's answers to the lines, in order, and, where they end before the lines do, why.

    A process of its own, ended with the call whatever happens. One line is asked at a time, so that it is known which
    one it could not do. Raises RunError if METEOR does not even start.
    """
    answers: list[str] = []
    with tempfile.TemporaryFile() as errors:  # not a pipe: one that nobody reads fills up and blocks
        process = subprocess.Popen(_COMMAND, cwd=_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        watchdog = _Watchdog(process)
        try:
            _, why = _answer(process, watchdog, errors, "SCORE ||| a ||| a", _SECONDS_TO_START)
            if why:
                raise RunError(f"METEOR does not start ({why}).")
            for line in lines:
                answer, why = _answer(process, watchdog, errors, line, _SECONDS_A_REPORT + len(line) / 1000)
                if why:
                    return answers, why
                answers.append(answer)
        finally:
            watchdog.stop()
            process.kill()
            process.communicate()
    return answers, ""


class _Watchdog:
    """Kills a process that takes too long. One thread for all of its answers; a timer would be one for each."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.deadline = math.inf
        self._process = process
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            if time.monotonic() > self.deadline:
                self._process.kill()

    def stop(self) -> None:
        self._stopped.set()


def _answer(
    process: subprocess.Popen[bytes], watchdog: _Watchdog, errors: IO[bytes], line: str, seconds: float
) -> tuple[str, str]:
    """The answer to one line, or why there is none. A process that takes longer than ``seconds`` is killed."""
    assert process.stdin and process.stdout
    deadline = watchdog.deadline = time.monotonic() + seconds
    try:
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = b""
    finally:
        watchdog.deadline = math.inf
    if answer.endswith(b"\n"):
        return answer.decode().strip(), ""
    process.wait()
    if time.monotonic() >= deadline:
        return "", f"stopped after {seconds:.0f} s"
    errors.seek(0)
    return "", errors.readline().decode(errors="replace").strip() or f"exit status {process.returncode}"


def _one_field(words: str) -> str:
    """The words without METEOR's field separator, which would make two texts of one."""
    return re.sub(r"\|{3,}", " ", words)

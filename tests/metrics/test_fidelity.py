from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from rrgbench.errors import UsageError
from rrgbench.fidelity import fault, faults, in_words
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT, NIH, NO_FINDING
from rrgbench.llms.template import Template
from rrgbench.metrics.fidelity import Fidelity
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Context, Finding, Findings, Report, Status, Study, Vocabulary

P, A, U, N = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN, Status.NOT_MENTIONED
METRIC = Fidelity(RuleLabeler())


class Reader:
    """Reads labels that are written as they are: ``edema=present``."""

    version, name, vocabulary = "1", "reader", CHEXPERT

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        rows = [dict(word.split("=") for word in text.replace("_", " ").split(";") if word) for text in texts]
        return pd.DataFrame([[Status(row.get(x, N)) for x in CHEXPERT.labels] for row in rows], columns=CHEXPERT.labels)


def findings(vocabulary: Vocabulary = CHEXPERT, **statuses: Status) -> Findings:
    found = {name.replace("_", " "): status for name, status in statuses.items()}
    return Findings(vocabulary, {label: Finding(label, status) for label, status in found.items()})


def case(found: Findings, text: str, study_id: str = "s1") -> Case:
    return Case(Study(study_id, study_id), found, Report(text), text, None)


def scores(*cases: Case) -> dict[str, float]:
    return {name: float(value) for name, value in METRIC.reduce(METRIC.rows(cases)).items()}


class TestFaults:
    @pytest.mark.parametrize("given, said", list(product(Status, Status)))
    def test_every_pair_of_statuses(self, given: Status, said: Status) -> None:
        expected = {
            **dict.fromkeys([(P, A), (U, A), (A, P), (A, U)], "contradiction"),
            **dict.fromkeys([(P, N), (U, N)], "omission"),
            **dict.fromkeys([(N, P), (N, U)], "invention"),
        }
        assert fault(given, said) == expected.get((given, said))

    def test_of_one_report_in_words(self) -> None:
        found = Findings(
            CHEXPERT,
            {
                "Pleural Effusion": Finding("Pleural Effusion", P, side="left", severity="mild"),
                "Pneumothorax": Finding("Pneumothorax", A),
                "Edema": Finding("Edema", U),
                NO_FINDING: Finding(NO_FINDING, A),
            },
        )
        text = "No pleural effusion. There is a pneumothorax. There is a rib fracture. No consolidation."
        assert [in_words(each) for each in faults(found, text, RuleLabeler())] == [
            'The findings say: "There may be pulmonary edema." The report does not mention it.',
            'The findings say: "There is no pneumothorax." The report says that there is or may be one.',
            'The findings say: "There is a small left pleural effusion." The report denies it.',
            "The report speaks of fracture, which was not assessed: leave it out.",
        ]

    def test_labels_that_the_labeler_does_not_know_are_not_judged(self) -> None:
        found = findings(NIH, Mass=P, Emphysema=P, Effusion=A)
        assert faults(found, "There is a lung mass. No pleural effusion.", RuleLabeler()) == []
        (wrong,) = faults(found, "No mass. No pleural effusion.", RuleLabeler())
        assert (wrong.kind, wrong.finding.label) == ("contradiction", "Lung Lesion")
        with pytest.raises(UsageError, match="no counterpart among those of rulelabel"):
            faults(findings(Vocabulary("own", ("Elbow",)), Elbow=P), "No elbow.", RuleLabeler())


class TestFidelity:
    def test_golden_scores(self) -> None:
        found = findings(Pleural_Effusion=P, Edema=U, Pneumothorax=A)
        got = scores(
            case(found, "Pleural effusion. Possible edema. No pneumothorax.", "faithful"),
            case(found, "No effusion. Edema is present. There is a pneumothorax.", "two contradictions"),
            case(found, "There is a rib fracture. Possible edema.", "one omission, one invention"),
            case(found, "There may be an effusion. Possible edema.", "hedged"),
        )
        assert got == pytest.approx(
            {
                "fidelity_precision": 1 / 4,
                "fidelity_recall": 1 / 4,
                "fidelity_f1": 1 / 4,
                "fidelity_contradictions": 2 / 4,
                "fidelity_omissions": 1 / 4,
                "fidelity_inventions": 1 / 4,
                "fidelity_faithful": 2 / 4,
            }
        )
        assert set(got) == set(METRIC.higher_is_better)

    def test_an_empty_report_omits_all_that_was_found(self) -> None:
        got = scores(case(findings(Edema=P, Fracture=U, Pneumothorax=A), ""))
        assert (got["fidelity_omissions"], got["fidelity_recall"], got["fidelity_faithful"]) == (2, 0, 0)

    def test_where_nothing_is_present_only_the_faults_are_defined(self) -> None:
        got = scores(case(findings(Edema=A), "No edema."))
        assert np.isnan([got["fidelity_f1"], got["fidelity_precision"], got["fidelity_recall"]]).all()
        assert got["fidelity_faithful"] == 1

    def test_rows_say_what_was_given_and_said_of_each_label(self) -> None:
        row = METRIC.rows([case(findings(Edema=P), "No edema.")]).iloc[0]
        assert (row["given_edema"], row["said_edema"], row["fidelity_contradictions"]) == (1, 2, 1)
        assert "given_no_finding" not in row.index

    def test_a_study_that_comes_several_times_keeps_its_places(self) -> None:
        found = findings(Edema=P)
        rows = METRIC.rows([case(found, "Edema."), case(found, "No edema."), case(found, "Edema.")])
        assert list(rows.index) == ["s1"] * 3 and list(rows["fidelity_contradictions"]) == [0, 1, 0]

    def test_the_signature_names_the_labeler_and_the_labels(self) -> None:
        part = build(catalogue(), "metric", "fidelity")
        assert part.signature.startswith("fidelity|labeler:(rulelabel|v:") and part.obj.needs == ("report", "findings")
        rows = METRIC.rows([case(findings(NIH, Mass=P, Effusion=A), "A mass.")])
        assert METRIC.describe(rows) == (
            "labels:cardiomegaly+lung_lesion+edema+consolidation+pneumonia+atelectasis+pneumothorax+pleural_effusion"
        )

    @settings(max_examples=40)
    @given(
        st.lists(st.dictionaries(st.sampled_from(CHEXPERT.labels[1:]), st.sampled_from(Status)), min_size=1, max_size=6)
    )
    def test_the_template_s_reports_are_faithful(self, drawn: list[dict[str, Status]]) -> None:
        cases = []
        for found in (Findings(CHEXPERT, {x: Finding(x, s) for x, s in each.items()}) for each in drawn):
            report = Template().write(found, Context("s"))
            if isinstance(report, Report):
                cases.append(case(found, report.text))
        if cases:
            got = scores(*cases)
            assert got["fidelity_contradictions"] == got["fidelity_omissions"] == 0
            assert got["fidelity_recall"] == 1 or np.isnan(got["fidelity_recall"])

    STATUSES = st.lists(st.sampled_from(Status), min_size=13, max_size=13)

    @settings(max_examples=60)
    @given(st.lists(st.tuples(STATUSES, STATUSES, st.integers(0, 3)), min_size=1, max_size=5))
    def test_equals_scikit_learn_and_counting_by_hand_under_any_weights(
        self, drawn: list[tuple[list[Status], list[Status], int]]
    ) -> None:
        labels = CHEXPERT.labels[1:]
        metric = Fidelity(Reader())
        pairs = [(dict(zip(labels, a, strict=True)), dict(zip(labels, b, strict=True))) for a, b, _ in drawn]
        cases = [
            case(
                Findings(CHEXPERT, {x: Finding(x, s) for x, s in given.items()}),
                ";".join(f"{x}={s.value}" for x, s in said.items()),
            )
            for given, said in pairs
        ]
        times = [n for _, _, n in drawn]
        rows = metric.rows(cases)
        drawn_scores = metric.reduce(rows, np.array([times], dtype=float))
        repeated = [pair for pair, n in zip(pairs, times, strict=True) for _ in range(n)]
        if not repeated:
            assert np.isnan([value[0] for value in drawn_scores.values()]).all()
            return
        truth, called = (np.array([[pair[side][x] is P for x in labels] for pair in repeated]) for side in (0, 1))
        p, r, f, _ = precision_recall_fscore_support(truth, called, average="micro", zero_division=np.nan)
        kinds = [[fault(pair[0][x], pair[1][x]) for x in labels] for pair in repeated]
        assert {name: value[0] for name, value in drawn_scores.items()} == pytest.approx(
            {
                "fidelity_precision": p,
                "fidelity_recall": r,
                "fidelity_f1": f,
                "fidelity_contradictions": np.mean([k.count("contradiction") for k in kinds]),
                "fidelity_omissions": np.mean([k.count("omission") for k in kinds]),
                "fidelity_inventions": np.mean([k.count("invention") for k in kinds]),
                "fidelity_faithful": np.mean([not any(k) for k in kinds]),
            },
            nan_ok=True,
        )

"""CRIMSON's replies: from a judge's JSON to its findings, matches and errors, or to ``Unreadable``.

The keys are upstream's (OUTPUT_FORMAT of rajpurkarlab/CRIMSON, prompt_parts.py), and so are the rules that a finding is
either matched or missing, or false. Upstream's code does not check them: an id that is nowhere weighs 0 there, an
unknown significance or severity 0.25, a key that stands twice counts as it first did, and RadEval closes what was cut
off. None of this is read here. "sentences" and "no_finding" are rrgbench's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rrgbench.judging import Unreadable
from rrgbench_judges.crimson_arithmetic import ERROR_TYPES, SEVERITY, SIGNIFICANCE, Evaluation
from rrgbench_judges.reading import MOST, count, json_object

REPORTS = ("reference", "predicted")  # as the reply names them: the predicted one is the candidate


def evaluation(
    reply: str,
    reference_sentences: int,
    candidate_sentences: int,
    by_sentence: bool = True,
    candidate: str = "",
    examples: Collection[str] = (),
) -> Evaluation:
    """What a reply says of two reports of so many sentences. A score or a sum in it is not looked at.

    Raises Unreadable unless it is one JSON object, of the judge's own (not out of the candidate or the examples of the
    prompt), in which each finding is matched or missing (or false) and not both, and nothing is named that isn't
    listed. ``by_sentence``: the prompt asks which sentences tell of a finding, so each sentence of both reports must
    stand either with one or in "no_finding". Else replies are upstream's, which say nothing of sentences; one that
    lists no finding at all is not read, for that of a judge that didn't look is no different.
    """
    answer = json_object(reply, candidate=candidate, examples=examples)
    lists = [_entries(answer, f"{report}_findings") for report in REPORTS]
    reference, predicted = (_significance(each, of) for each, of in zip(lists, REPORTS, strict=True))
    counts = (reference_sentences, candidate_sentences)
    if any(findings and not sentence_count for findings, sentence_count in zip(lists, counts, strict=True)):
        raise Unreadable("it finds something in an empty report")
    if by_sentence:
        _check_sentences(answer, lists, counts)
    elif not any(lists):
        raise Unreadable("it lists no finding of either report, and says nothing that shows that it looked")
    matched = frozenset(
        (_known(pair, "ref_id", reference), _known(pair, "pred_id", predicted))
        for pair in _entries(answer, "matched_findings")
    )
    errors = answer.get("errors")
    if not isinstance(errors, dict):
        raise Unreadable('"errors" is no object')
    _check_left_over(errors, "missing_findings", reference, {ref_id for ref_id, _ in matched})
    _check_left_over(errors, "false_findings", predicted, {pred_id for _, pred_id in matched})
    return Evaluation(reference, predicted, matched, _attribute_errors(errors, matched))


def _list(of: Mapping[str, Any], key: str) -> list[Any]:
    value = of.get(key)
    if not isinstance(value, list) or len(value) > MOST:
        raise Unreadable(f'it has no list "{key}", or one that is far too long')
    return value


def _entries(of: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = _list(of, key)
    if not all(isinstance(each, dict) for each in value):
        raise Unreadable(f'"{key}" holds something that is no object')
    return value


def _one_of(value: object, allowed: Mapping[str, Any] | Sequence[str], what: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise Unreadable(f"{what} is none of {', '.join(allowed)}")
    return value


def _known(of: Mapping[str, Any], key: str, findings: Mapping[str, str]) -> str:
    return _one_of(of.get(key), findings, f'a "{key}"')


def _significance(findings: Sequence[Mapping[str, Any]], report: str) -> dict[str, str]:
    """By the id of each finding its significance."""
    out: dict[str, str] = {}
    for each in findings:
        name, finding = each.get("id"), each.get("finding")
        if not isinstance(name, str) or not name or name in out:
            raise Unreadable(f"a {report} finding has no id of its own")
        if not isinstance(finding, str) or not finding.strip():
            raise Unreadable(f"{name} doesn't say what is found")
        out[name] = _one_of(each.get("clinical_significance"), SIGNIFICANCE, f'"clinical_significance" of {name}')
    return out


def _check_sentences(
    answer: Mapping[str, Any], lists: Sequence[Sequence[Mapping[str, Any]]], counts: Sequence[int]
) -> None:
    """Raise Unreadable unless each sentence of both reports is accounted for, once."""
    without = answer.get("no_finding")
    if not isinstance(without, dict):
        raise Unreadable('"no_finding" is no object, or is not there')
    for report, findings, sentence_count in zip(REPORTS, lists, counts, strict=True):
        told = set()
        for each in findings:
            numbers = {count(number, f"a sentence of {each['id']}") for number in _list(each, "sentences")}
            if not numbers:
                raise Unreadable(f"{each['id']} stands in no sentence")
            told |= numbers
        rest = {count(number, f'a sentence in "no_finding" of {report}') for number in _list(without, report)}
        if both := told & rest:
            raise Unreadable(f'sentence {min(both)} of {report} has a finding and is in "no_finding"')
        if odd := (told | rest) ^ set(range(1, sentence_count + 1)):
            raise Unreadable(
                f'sentence {min(odd)} of {report} is not there, or neither with a finding nor in "no_finding":'
                f" {report} has the sentences 1 to {sentence_count}"
            )


def _check_left_over(errors: Mapping[str, Any], key: str, findings: Mapping[str, str], matched: set[str]) -> None:
    """Raise Unreadable unless a list holds the findings without a match, each once."""
    listed = Counter(_one_of(each, findings, f'an entry of "{key}"') for each in _list(errors, key))
    for name in findings:
        if listed[name] + (name in matched) != 1:
            raise Unreadable(f'{name} must stand once: in "matched_findings" or in "{key}"')


def _attribute_errors(errors: Mapping[str, Any], matched: frozenset[tuple[str, str]]) -> list[tuple[str, str]]:
    """The reference id and severity of each attribute error."""
    out = []
    pairs, entries = [list(pair) for pair in matched], _entries(errors, "attribute_errors")
    for at, each in enumerate(entries):
        ref_id, pred_id = each.get("ref_id"), each.get("pred_id")
        if [ref_id, pred_id] not in pairs:
            raise Unreadable('an attribute error is of no pair in "matched_findings"')
        if each in entries[:at]:
            raise Unreadable("an attribute error stands twice")
        if not (types := _list(each, "error_types")):
            raise Unreadable("an attribute error is of no type")
        for kind in types:
            _one_of(kind, ERROR_TYPES, "an error type")
        out.append((str(ref_id), _one_of(each.get("severity"), SEVERITY, "an attribute error's severity")))
    return out

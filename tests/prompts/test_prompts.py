from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import Prompt
from rrgbench.labels import CHEXPERT
from rrgbench.prompts.cot import ChainOfThought
from rrgbench.prompts.icil import ICIL
from rrgbench.prompts.retrieval import Retrieval
from rrgbench.prompts.stepwise import Stepwise
from rrgbench.prompts.zero_shot import ZeroShot
from rrgbench.renderers.sentences import Sentences
from rrgbench.types import Completion, Failure, Finding, Findings, Message, Status, Study
from tests.prompts.helpers import REPLY, Model, failure, findings, report, training, write


def icil(studies: Iterable[Study] | None = None, **options: Any) -> ICIL:
    prompt = ICIL(**options)
    prompt.prepare(training() if studies is None else studies, Sentences())
    return prompt


def cross_task(**options: Any) -> ICIL:
    return ICIL(mode="cross_task", **options)


def retrieval(**options: Any) -> Retrieval:
    prompt = Retrieval(**options)
    prompt.prepare(training(), Sentences())
    return prompt


ONE_CALL = {
    "zero-shot": ZeroShot,
    "icil": icil,
    "icil:cross_task": cross_task,
    "retrieval": retrieval,
    "cot": ChainOfThought,
}


def reply_for(name: str, text: str) -> str:
    return f"The effusion comes first.\n<report>{text}</report>" if name == "cot" else text


@pytest.mark.parametrize("name", ONE_CALL)
class TestOneCall:
    def test_gives_the_findings_and_the_rules_and_reads_the_sections(self, name: str) -> None:
        model = Model(reply_for(name, REPLY))
        result = report(ONE_CALL[name](), model)
        assert len(model.asked) == 1
        assert "There is a pleural effusion. There is no pneumothorax." in model.told
        for rule in ("Use the given findings and nothing else", "was not assessed", "no earlier study"):
            assert rule in model.told
        assert result.sections == {"findings": "Small left pleural effusion.", "impression": "Effusion."}
        assert result.text == "Small left pleural effusion. Effusion."

    def test_reads_a_report_through_chatter_fences_and_bold_type(self, name: str) -> None:
        chatty = (
            "Sure, here is the report:\n```\n**FINDINGS:** Effusion.\n**IMPRESSION:** Effusion.\n```\nNote: no doctor."
        )
        assert report(ONE_CALL[name](), Model(reply_for(name, chatty))).text == "Effusion. Effusion."

    def test_a_reply_without_headings_is_the_report(self, name: str) -> None:
        result = report(ONE_CALL[name](), Model(reply_for(name, "There is an effusion.\n\nThe heart is normal.")))
        assert result.text == "There is an effusion. The heart is normal."
        assert result.sections == {}

    @pytest.mark.parametrize(
        ("target", "text"), [("findings", "Small left pleural effusion."), ("impression", "Effusion.")]
    )
    def test_one_section_alone_can_be_asked_for(self, name: str, target: Any, text: str) -> None:
        model = Model(reply_for(name, REPLY))
        result = report(ONE_CALL[name](target=target), model)
        assert (result.text, dict(result.sections)) == (text, {target: text})
        assert f'"{target.upper()}:"' in model.told
        bare = report(ONE_CALL[name](target=target), Model(reply_for(name, "Effusion, no headings.")))
        assert bare.sections == {target: "Effusion, no headings."}

    @pytest.mark.parametrize("text", ["", "  \n ", "```\n```"])
    def test_an_empty_reply_is_a_failure(self, name: str, text: str) -> None:
        assert failure(ONE_CALL[name](), reply_for(name, text) if text.strip() else text).kind == "empty"

    def test_headings_without_the_wanted_section_are_a_failure(self, name: str) -> None:
        result = failure(ONE_CALL[name](), reply_for(name, "TECHNIQUE: PA view."))
        assert result.kind == "unparsable"
        assert "FINDINGS or IMPRESSION" in result.message
        assert "TECHNIQUE" in result.message

    def test_a_refusal_is_a_failure(self, name: str) -> None:
        text = "I’m sorry, but I can’t help with that."
        assert failure(ONE_CALL[name](), reply_for(name, text)).kind == "refused"

    def test_an_error_of_the_llm_passes_through(self, name: str) -> None:
        class Broken(Model):
            async def ask(self, messages: Sequence[Message], schema: Any = None) -> Completion:
                raise LLMError("timeout", "no reply in 60 s")

        with pytest.raises(LLMError, match="no reply"):
            write(ONE_CALL[name](), Broken(""))

    def test_the_indication_is_seen_only_where_it_is_asked_for(self, name: str) -> None:
        assert ONE_CALL[name]().needs == ()
        prompt = ONE_CALL[name](indication=True)
        assert prompt.needs == ("sections",)
        model = Model(reply_for(name, REPLY))
        report(prompt, model, indication="Fever.")
        assert re.search(r"(^|\nInput: )Indication: Fever.\n\nFindings:\n", model.asked[-1][-1].content)


class TestZeroShot:
    def test_golden_messages(self) -> None:
        model = Model(REPLY)
        report(ZeroShot(), model)
        system, user = model.asked[0]
        assert (system.role, user.role) == ("system", "user")
        assert system.content == (
            "You are a radiologist who writes reports of chest radiographs from a list of findings.\n"
            "- Use the given findings and nothing else. State each present finding with its side and severity, "
            "hedge each uncertain one, and deny each absent one.\n"
            "- Say nothing of what is not listed or was not assessed.\n"
            '- There is no earlier study: do not write "new", "unchanged", "improved" or "worsened".\n'
            "- Invent no measurements, dates, devices, causes or recommendations.\n"
            '- Reply with the report in two sections, "FINDINGS:" and "IMPRESSION:", in plain text, and nothing else.'
        )
        assert user.content.startswith(
            "Findings:\nThere is a pleural effusion. There is no pneumothorax. Not assessed: "
        )

    def test_what_a_reasoning_model_thinks_is_kept_beside_the_report(self) -> None:
        result = report(ZeroShot(), Model(f"<think>\nFINDINGS: draft\n</think>\n{REPLY}"))
        assert result.text == "Small left pleural effusion. Effusion."
        assert result.reasoning == "FINDINGS: draft"

    def test_thinking_that_never_ends_is_a_failure(self) -> None:
        assert failure(ZeroShot(), "<think>\nFINDINGS: draft").kind == "unparsable"


class TestChainOfThought:
    def test_only_what_is_delimited_is_the_report(self) -> None:
        model = Model(f"Effusion left, nothing else.\n<report>\n{REPLY}\n</report>\nDone.")
        result = report(ChainOfThought(), model)
        assert "<report> and </report>" in model.told
        assert result.text == "Small left pleural effusion. Effusion."
        assert result.reasoning == "Effusion left, nothing else."

    def test_the_last_delimited_text_counts(self) -> None:
        reply = f"I will write between <report> and </report>. <REPORT>{REPLY}</REPORT>"
        assert report(ChainOfThought(), Model(reply)).text == "Small left pleural effusion. Effusion."

    @pytest.mark.parametrize("reply", [REPLY, f"<report>{REPLY}", f"Thoughts.\n</report>{REPLY}"])
    def test_a_missing_delimiter_is_a_failure_and_never_a_report(self, reply: str) -> None:
        assert failure(ChainOfThought(), reply).kind == "unparsable"


class TestICIL:
    def test_the_same_exemplars_stand_before_every_study(self) -> None:
        prompt, model = icil(), Model(REPLY)
        report(prompt, model)
        report(prompt, model, findings(Edema=Status.PRESENT))
        first, second = model.asked
        assert first[:-1] == second[:-1]
        assert [message.role for message in first] == ["system"] + ["user", "assistant"] * 3 + ["user"]
        assert first[2].content.startswith("FINDINGS: Reference findings ")
        assert "\nIMPRESSION: Reference impression " in first[2].content
        assert first[1].content.startswith("Findings:\nThere is no ")  # the first is normal

    def test_exemplars_are_of_different_patients_and_show_different_labels(self) -> None:
        model = Model(REPLY)
        report(icil(k=5), model)
        numbers = [
            int(m.content.split("\n")[0].split()[-1].rstrip(".")) for m in model.asked[0] if m.role == "assistant"
        ]
        studies = training()
        assert len({studies[i].patient_id for i in numbers}) == 5
        shown = [studies[i].labels for i in numbers]
        present = [{f.label for f in labels.having(Status.PRESENT)} for labels in shown if labels]
        assert present[0] == set()
        assert len(set().union(*present)) == 4

    def test_the_choice_depends_on_the_seed_and_not_on_the_order(self) -> None:
        assert icil(seed=1).signature == icil(reversed(training()), seed=1).signature
        assert len({icil(seed=seed).signature for seed in range(5)}) > 1
        assert icil().signature.startswith(f"{ICIL().signature}|exemplars:")

    def test_studies_without_labels_or_reference_are_passed_over(self) -> None:
        poor = [
            Study("a", "p-a", sections={"findings": "F.", "impression": "I."}),
            Study("b", "p-b", labels=findings(Edema=Status.PRESENT)),
            Study("c", "p-c", sections={"findings": "F."}, labels=findings(Edema=Status.PRESENT)),
        ]
        with pytest.raises(UsageError, match="has 0 with labels and a reference findings and impression"):
            icil(poor)
        whole = Study(
            "d", "p-d", sections={"report": "FINDINGS: F.\nIMPRESSION: I."}, labels=findings(Edema=Status.ABSENT)
        )
        model = Model(REPLY)
        report(icil([*poor, whole], k=1), model)
        assert model.asked[0][2].content == "FINDINGS: F.\nIMPRESSION: I."
        assert icil(poor, k=1, target="findings").signature

    def test_no_training_split_says_what_to_do(self) -> None:
        with pytest.raises(UsageError, match="use the prompt zero-shot"):
            icil([])
        with pytest.raises(UsageError, match="zero-shot"):
            ICIL(k=0)
        with pytest.raises(UsageError, match="prepare"):
            write(ICIL(), Model(REPLY))


class TestCrossTaskICIL:
    def test_the_same_eight_tasks_stand_before_every_study_which_is_the_ninth(self) -> None:
        prompt, model = cross_task(), Model(REPLY)
        report(prompt, model)
        report(prompt, model, findings(Edema=Status.PRESENT))
        prompts = [messages[0].content for messages in model.asked]
        assert all(len(messages) == 1 and messages[0].role == "user" for messages in model.asked)
        first, second = (text.split("Definition: You are a radiologist") for text in prompts)
        assert first[0] == second[0] and first[0].count("Definition: ") == first[0].count("\nOutput: ") == 8
        assert "Input: Findings:\nThere is a pleural effusion." in first[1]
        assert prompts[0].endswith("\nOutput:")

    def test_a_ninth_task_of_the_model_s_own_is_no_report(self) -> None:
        model = Model(f"{REPLY}\n\nDefinition: You are given a poem.\n\nInput: Rain.\nOutput: FINDINGS: Rain.")
        assert report(cross_task(), model).text == "Small left pleural effusion. Effusion."

    def test_no_training_split_is_read(self) -> None:
        assert not hasattr(cross_task(), "prepare") and hasattr(ICIL(), "prepare")
        with pytest.raises(UsageError, match="leave k out"):
            cross_task(k=3)


class TestStepwise:
    FOUND = Findings(
        CHEXPERT,
        {
            "Pleural Effusion": Finding("Pleural Effusion", Status.PRESENT, side="left", severity="mild"),
            "Cardiomegaly": Finding("Cardiomegaly", Status.UNCERTAIN),
            "Pneumothorax": Finding("Pneumothorax", Status.ABSENT),
        },
    )

    def test_asks_once_a_positive_finding_and_denies_by_itself(self) -> None:
        model = Model("A small left pleural effusion is seen.", "Possible cardiomegaly is seen.")
        result = report(Stepwise(), model, self.FOUND)
        asked = [messages[-1].content for messages in model.asked]
        assert asked == ["Finding: small left pleural effusion", "Finding: possible cardiomegaly"]
        assert result.sections["findings"] == (
            "A small left pleural effusion is seen. There is no pneumothorax. Possible cardiomegaly is seen."
        )
        assert all(sum(len(m.content) for m in messages) < 500 for messages in model.asked)

    def test_the_impression_says_what_the_model_said_and_mends_nothing(self) -> None:
        result = report(Stepwise(), Model("The lungs are clear."), self.FOUND)
        assert result.sections["impression"] == "The lungs are clear. The lungs are clear."
        assert "effusion" not in result.text

    def test_only_the_first_sentence_of_a_reply_is_kept(self) -> None:
        replies = (
            'Sure! "A 1.5 cm nodule is seen." It may be cancer.',
            "**Cardiomegaly may be seen**\n\nNote: no doctor.",
        )
        result = report(Stepwise(target="findings"), Model(*replies), self.FOUND)
        assert result.text == "A 1.5 cm nodule is seen. There is no pneumothorax. Cardiomegaly may be seen."

    def test_a_normal_study_needs_no_call(self) -> None:
        model = Model("never")
        result = report(Stepwise(), model, findings(Edema=Status.ABSENT, Fracture=Status.ABSENT))
        assert model.asked == []
        assert result.sections["impression"] == "No acute cardiopulmonary abnormality."

    @pytest.mark.parametrize(
        ("reply", "kind"), [("", "empty"), ("\n```\n```", "empty"), ("I cannot do that.", "refused")]
    )
    def test_a_finding_without_a_sentence_fails_the_report_and_is_named(self, reply: str, kind: str) -> None:
        result = write(Stepwise(), Model(reply), self.FOUND)
        assert isinstance(result, Failure)
        assert result.kind == kind
        assert "Pleural Effusion" in result.message


def test_all_are_prompts() -> None:
    for prompt in (ZeroShot(), ICIL(), cross_task(), Retrieval(), ChainOfThought(), Stepwise()):
        assert isinstance(prompt, Prompt)

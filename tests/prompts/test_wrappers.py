"""``self-consistency`` and ``repair``, which ask another prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import Prompt
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.prompts.cot import ChainOfThought
from rrgbench.prompts.icil import ICIL
from rrgbench.prompts.repair import Repair
from rrgbench.prompts.self_consistency import SelfConsistency
from rrgbench.prompts.zero_shot import ZeroShot
from rrgbench.renderers.sentences import Sentences
from rrgbench.types import Completion, Failure, Message, Report, Status
from tests.prompts.helpers import Model, findings, report, training, write

RULES = RuleLabeler()


class Failing(Model):
    """Raises the errors among its replies."""

    def __init__(self, *replies: str | LLMError) -> None:
        super().__init__()
        self.left = list(replies)

    async def ask(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        self.asked.append(list(messages))
        reply = self.left.pop(0)
        if isinstance(reply, LLMError):
            raise reply
        return Completion(reply, "model")


def votes(*replies: str | LLMError) -> Report | Failure:
    return write(SelfConsistency(ZeroShot(), RULES, samples=len(replies)), Failing(*replies))


EFFUSION = "There is a pleural effusion. No pneumothorax."
OTHER = "A pleural effusion is seen, and no pneumothorax."  # the same labels in other words
AIR = "There is a pneumothorax. No edema. The heart is enlarged."


class TestSelfConsistency:
    def test_the_sample_that_agrees_best_is_taken_and_of_equals_the_first(self) -> None:
        result = votes(AIR, EFFUSION, OTHER)
        assert isinstance(result, Report) and result.text == EFFUSION
        # AIR and EFFUSION differ on pneumothorax, effusion, edema, cardiomegaly and No Finding is blank in both.
        assert result.reasoning == "[self-consistency: 3 samples; sample 2 of 3 that have a report, agreement 0.86]"

    def test_every_sample_is_asked_for_with_the_same_messages(self) -> None:
        model = Model(EFFUSION)
        result = report(SelfConsistency(ZeroShot(), RULES, samples=4), model)
        assert len(model.asked) == 4 and all(asked == model.asked[0] for asked in model.asked)
        assert result.reasoning and "all are alike" in result.reasoning

    def test_samples_that_fail_have_no_vote_and_are_counted(self) -> None:
        result = votes(LLMError("timeout", "too slow", retry=True), "", AIR)
        assert isinstance(result, Report) and result.text == AIR
        assert result.reasoning and "3 samples, 2 failed (empty, timeout); sample 1 of 1" in result.reasoning

    def test_it_fails_only_where_all_fail(self) -> None:
        result = votes("I'm sorry, no.", "")
        assert isinstance(result, Failure) and result.kind == "refused"
        assert result.message.startswith("all 2 samples failed; the first: the model refused")

    def test_an_error_that_every_call_would_meet_is_not_outvoted(self) -> None:
        with pytest.raises(LLMError, match="wrong key"):
            votes(EFFUSION, LLMError("auth", "wrong key"))

    def test_what_is_still_in_a_batch_is_waited_for_when_all_was_submitted(self) -> None:
        model = Failing(LLMError("pending", "submitted"), EFFUSION, LLMError("pending", "submitted"))
        result = write(SelfConsistency(ZeroShot(), RULES, samples=3), model)
        assert isinstance(result, Failure) and result.kind == "pending" and len(model.asked) == 3

    def test_the_inner_reasoning_is_kept_before_the_vote(self) -> None:
        result = report(SelfConsistency(ChainOfThought(), RULES, samples=2), Model(f"So.\n<report>{AIR}</report>"))
        assert result.reasoning and result.reasoning.startswith("So.\n[self-consistency: 2 samples")

    def test_one_sample_is_no_vote(self) -> None:
        with pytest.raises(UsageError, match="two samples or more"):
            SelfConsistency(ZeroShot(), RULES, samples=1)


DENIED = "FINDINGS: No pleural effusion. No pneumothorax.\nIMPRESSION: Normal."
RIGHT = "FINDINGS: There is a pleural effusion. No pneumothorax.\nIMPRESSION: Effusion."
WORSE = "FINDINGS: No pleural effusion. There is a pneumothorax.\nIMPRESSION: Pneumothorax."


def repaired(*replies: str | LLMError, **options: Any) -> tuple[Report | Failure, Failing]:
    model = Failing(*replies)
    return write(Repair(ZeroShot(), RULES, **options), model), model


class TestRepair:
    def test_the_model_is_shown_its_report_and_its_contradiction(self) -> None:
        result, model = repaired(DENIED, RIGHT)
        assert isinstance(result, Report)
        assert result.sections["findings"] == "There is a pleural effusion. No pneumothorax."
        assert result.reasoning == "[repair: 1 round; faults: 1, 0]"
        system, user, draft, wrong = model.asked[1]
        assert [system, user] == model.asked[0]
        assert (draft.role, draft.content) == ("assistant", DENIED)
        assert wrong.content.startswith(
            "This report does not say what the findings say:\n"
            '- The findings say: "There is a pleural effusion." The report denies it.\n\n'
        )

    def test_a_faithful_report_costs_no_further_call(self) -> None:
        result, model = repaired(RIGHT)
        assert isinstance(result, Report) and result.reasoning == "[repair: 0 rounds; faults: 0]"
        assert len(model.asked) == 1

    def test_omissions_and_inventions_are_put_right_on_request_only(self) -> None:
        silent = "FINDINGS: No pneumothorax. There is a rib fracture.\nIMPRESSION: Fracture."
        result, model = repaired(silent)
        assert isinstance(result, Report) and len(model.asked) == 1
        result, model = repaired(silent, RIGHT, faults="all")
        assert isinstance(result, Report) and result.reasoning == "[repair: 1 round; faults: 2, 0]"
        assert 'The findings say: "There is a pleural effusion." The report does not mention it.' in model.told
        assert "The report speaks of fracture, which was not assessed: leave it out." in model.told

    def test_rounds_end_when_it_is_right_or_when_they_are_spent(self) -> None:
        result, _ = repaired(DENIED, DENIED, RIGHT, rounds=3)
        assert isinstance(result, Report) and result.reasoning == "[repair: 2 rounds; faults: 1, 1, 0]"
        result, _ = repaired(DENIED, DENIED)
        assert isinstance(result, Report) and result.reasoning == "[repair: 1 round; faults: 1, 1]"

    def test_what_has_more_wrong_with_it_is_dropped(self) -> None:
        result, _ = repaired(DENIED, WORSE)
        assert isinstance(result, Report) and result.text.startswith("No pleural effusion. No pneumothorax.")
        assert result.reasoning == "[repair: 1 round; faults: 1; round 1 had 2 and was dropped]"

    @pytest.mark.parametrize("reply", ["", LLMError("refused", "no", retry=False)])
    def test_a_repair_that_gives_nothing_loses_no_report(self, reply: str | LLMError) -> None:
        result, _ = repaired(DENIED, reply)
        assert isinstance(result, Report) and result.text.startswith("No pleural effusion.")
        assert result.reasoning and "1 round; faults: 1; round 1 gave no report (" in result.reasoning

    @pytest.mark.parametrize("kind", ["auth", "timeout", "pending"])
    def test_what_another_run_can_mend_is_left_to_it(self, kind: str) -> None:
        with pytest.raises(LLMError):
            repaired(DENIED, LLMError(kind, "not now", retry=kind == "timeout"))

    def test_a_report_that_could_not_be_made_is_not_repaired(self) -> None:
        result, model = repaired("")
        assert isinstance(result, Failure) and result.kind == "empty" and len(model.asked) == 1

    def test_without_a_round_there_is_no_repair(self) -> None:
        with pytest.raises(UsageError, match="one round or more"):
            Repair(ZeroShot(), RULES, rounds=0)


@pytest.mark.parametrize("wrap", [lambda p: SelfConsistency(p, RULES), lambda p: Repair(p, RULES)])
class TestBoth:
    def test_they_need_and_learn_what_their_prompt_does(self, wrap: Any) -> None:
        assert not hasattr(wrap(ZeroShot()), "prepare")
        prompt = wrap(ICIL(indication=True, target="findings"))
        assert isinstance(prompt, Prompt) and prompt.needs == ("sections",) and prompt.target == "findings"
        before = prompt.signature
        prompt.prepare(training(), Sentences())
        assert "exemplars:" in prompt.signature and "exemplars:" not in before
        assert isinstance(write(prompt, Model("FINDINGS: There is a pleural effusion."), findings()), Report)

    def test_the_target_is_the_prompt_s(self, wrap: Any) -> None:
        reply = "IMPRESSION: No pleural effusion."
        result = report(wrap(ZeroShot(target="impression")), Model(reply), findings(Pleural_Effusion=Status.PRESENT))
        assert dict(result.sections) == {"impression": "No pleural effusion."}

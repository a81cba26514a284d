from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from rrgbench.errors import UsageError
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.prompts import texts
from rrgbench.prompts.cot import ChainOfThought
from rrgbench.prompts.stepwise import Stepwise
from rrgbench.prompts.zero_shot import ZeroShot
from tests.conftest import REPOSITORY
from tests.prompts.helpers import REPLY, Model, report

FOLDER = REPOSITORY / "rrgbench" / "prompts" / "texts"
OWN = "---\nversion: 2\n---\n[system]\nWrite {layout}.\n[user]\nWhy: {indication}\n{findings}\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "mine.md").write_text(OWN)
    return tmp_path / "mine.md"


class TestOwnText:
    def test_stands_in_the_place_of_the_shipped_one(self, own: Path) -> None:
        model = Model(REPLY)
        report(ZeroShot(target="findings", text=own), model)
        assert [(m.role, m.content.split("\n")[0]) for m in model.asked[0]] == [
            ("system", 'Write one section, "FINDINGS:".'),
            ("user", "Why: "),
        ]
        assert "There is a pleural effusion." in model.told

    def test_a_signature_names_its_version_and_what_it_says(self, own: Path) -> None:
        part = build(catalogue(), "prompt", f"zero-shot:text={own}")
        assert re.search(r"\|text:2-[0-9a-f]{8}\|", part.signature)
        assert "text:mine.md" in part.signature and str(own.parent) not in part.signature
        before = ZeroShot(text=own).signature
        own.write_text(OWN.replace("Write", "Give"))
        assert ZeroShot(text=own).signature != before
        assert ZeroShot().signature != ChainOfThought().signature

    def test_what_looks_like_a_placeholder_in_a_value_stays_as_it_is(self) -> None:
        text = texts.load("report", texts.OF_A_STUDY, texts.FINDINGS)
        messages = text.fill(layout="L", description="{layout} and {nothing}", findings="", indication="")
        assert messages[-1].content == "{layout} and {nothing}"

    def test_braces_around_anything_else_are_text(self, own: Path) -> None:
        own.write_text(OWN.replace("{indication}", '{"a": {}, {1}}'))
        model = Model(REPLY)
        report(ZeroShot(text=own), model)
        assert 'Why: {"a": {}, {1}}' in model.told

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (
                ("{layout}", "{layuot}"),
                r"no placeholder \{layuot\}. Did you mean 'layout'\? This prompt has: \{layout\},",
            ),
            (("{findings}", ""), r"lacks \{description\} or \{findings\}"),
            (("---\nversion: 2\n---\n", ""), "must begin with the three lines"),
            (("version: 2", "version:"), "must begin with the three lines"),
            (("version: 2", "version: [2"), "must begin with the three lines"),
            (("[system]\n", ""), "below a line"),
            (("[user]", "[assistant]"), r"must be the \[user\]'s"),
        ],
    )
    def test_what_is_wrong_is_said_and_where(self, own: Path, change: tuple[str, str], says: str) -> None:
        own.write_text(OWN.replace(*change))
        with pytest.raises(UsageError, match=rf"mine\.md: .*{says}"):
            ZeroShot(text=own)

    def test_a_file_that_is_not_there_is_a_wrong_request(self, own: Path) -> None:
        with pytest.raises(UsageError, match="none.md: the prompt's text can't be read"):
            ZeroShot(text=own.with_name("none.md"))
        own.write_bytes(b"---\nversion: 1\n---\n[user]\n{findings}\xff")
        with pytest.raises(UsageError, match="can't be read"):
            ZeroShot(text=own)

    def test_a_prompt_has_the_placeholders_that_mean_something_to_it(self, own: Path) -> None:
        with pytest.raises(UsageError, match=r"This prompt has: \{finding\}, \{rules\}"):
            Stepwise(text=own)
        own.write_text("---\nversion: 1\n---\n[user]\n{rules}\nSay: {finding}")
        assert Stepwise(text=own).signature.startswith("text:1-")


class TestCrossTaskDemonstrations:
    """The heuristics of TAPP (arXiv 2302.14691) hold for our own eight."""

    data = yaml.safe_load((FOLDER / "cross_task.yaml").read_text())["demonstrations"]

    def test_eight_classification_tasks_whose_instruction_lists_the_choices(self) -> None:
        assert len(self.data) == 8
        for each in self.data:
            assert len(each["choices"]) >= 2 and each["output"] in each["choices"]
            assert all(f'"{choice}"' in each["instruction"] for choice in each["choices"])

    def test_no_choice_is_shared_and_the_fewest_come_first(self) -> None:
        choices = [choice.lower() for each in self.data for choice in each["choices"]]
        assert len(choices) == len(set(choices))
        counts = [len(each["choices"]) for each in self.data]
        assert counts == sorted(counts)

    def test_each_has_at_most_256_tokens(self) -> None:
        """At most 90 words and marks: the longest has 61, and 66 tokens by SmolLM2's tokenizer."""
        for each in self.data:
            assert len(re.findall(r"\w+|[^\w\s]", texts.demonstration(**each))) <= 90

    def test_none_is_about_a_chest_radiograph(self) -> None:
        words = texts.demonstrations()[0].lower()
        for word in ("chest", "lung", "x-ray", "radiolog", "effusion", "heart", "patient", "mild", "severe", "left"):
            assert not re.search(rf"\b{word}", words.replace("yellow leaves", "")), word


def test_the_question_among_the_configs_is_a_text_of_a_prompt_of_one_call() -> None:
    model = Model(REPLY)
    report(ZeroShot(text=REPOSITORY / "configs" / "prompts" / "question.md"), model)
    assert "There is a pleural effusion." in model.told and "pneumothorax.\n" not in model.asked[0][0].content


def test_a_wheel_holds_every_text(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = tmp_path.glob("rrgbench-*.whl")
    inside = {Path(name).name for name in zipfile.ZipFile(built).namelist() if "prompts/texts/" in name}
    assert inside == {file.name for file in FOLDER.iterdir()} and len(inside) >= 7

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.specs import Spec, parse


def test_a_name_alone() -> None:
    assert parse("vit") == Spec("vit")


def test_options_are_read_as_yaml() -> None:
    spec = parse("vit:checkpoint=a.pt,size=96,dropout=0.1,pretrained=true,model=none")
    assert spec.options == {"checkpoint": "a.pt", "size": 96, "dropout": 0.1, "pretrained": True, "model": "none"}


def test_commas_inside_quotes_and_brackets_split_nothing() -> None:
    assert parse('constant:text="No acute disease, no effusion."').options == {"text": "No acute disease, no effusion."}
    assert parse("ensemble:members=[vit,cnn],mean=logits").options == {"members": ["vit", "cnn"], "mean": "logits"}
    nested = parse('radfact:judge="openai:model=x,temperature=0"')
    assert nested.options == {"judge": "openai:model=x,temperature=0"}


def test_an_apostrophe_inside_a_word_is_no_quote() -> None:
    assert parse("constant:text=patient's heart,x=1").options == {"text": "patient's heart", "x": 1}


def test_a_url_is_one_value() -> None:
    assert parse("gpt4:base_url=http://127.0.0.1:8000/v1").options == {"base_url": "http://127.0.0.1:8000/v1"}


def test_a_mapping_says_the_same() -> None:
    assert Spec.of({"vit": {"size": 96}}) == parse("vit:size=96")
    assert Spec.of({"vit": None}) == parse("vit")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vit:size", "key=value"),
        ("vit:size=1,size=2", "stands twice"),
        (":size=1", "lacks a name"),
        ("ensemble:members=[vit,cnn", "missing at the end"),
        ("constant:text=a, b", "in quotes"),
    ],
)
def test_a_malformed_spec_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(text)


values = st.one_of(
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])),
    st.lists(st.integers()),
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), values, min_size=1))
def test_a_spec_written_out_reads_back_as_itself(options: dict[str, object]) -> None:
    spec = Spec.of({"part": options})
    assert parse(str(spec)).options == options


def test_a_number_sign_begins_no_comment() -> None:
    assert parse("constant:text=Nodule #2 stable").options == {"text": "Nodule #2 stable"}

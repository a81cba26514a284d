"""What the signature of a score says, field by field and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rrgbench.protocols import PROTOCOLS
from rrgbench.types import Score

METRIC = "metric"  # the first field, which has no name of its own

# What each field is about. A field that is not here is called by its name.
WORDS = {
    METRIC: "the metric",
    "v": "the version of the metric's code",
    "labeler": "who reads the labels in the texts",
    "labels": "the labels compared",
    "judge": "the language model that judges",
    "replies": "where its replies come from",
    "prompt": "what the judge is asked",
    "repeat": "which asking of the same questions it is",
    "zero-division": "what 0/0 counts as",
    "truth-uncertain": "what an uncertain label of the truth counts as",
    "truth-blank": "what a blank label of the truth counts as",
    "reference-labels": "the file of the references' labels",
    "report-labels": "the file of the reports' labels",
    "tokenizer": "how text is cut into words",
    "tok": "how text is cut into words",
    "tokenize": "how text is cut into words",
    "stemmer": "whether words are reduced to their stems",
    "case": "whether upper and lower case differ",
    "lowercase": "whether upper and lower case differ",
    "smooth": "how BLEU treats an order without a match",
    "eff": "whether BLEU leaves orders out that a text is too short for",
    "nrefs": "how many references a report has",
    "reflen": "which length BLEU's brevity penalty compares with",
    "beta": "how much more recall counts than precision",
    "n": "the longest run of words",
    "sigma": "how hard another length is punished",
    "scale": "what a perfect match is",
    "df": "where document frequencies come from",
    "norm": "whether METEOR makes the text uniform first",
    "l": "METEOR's language",
    "meteor": "METEOR's version",
    "model": "the model",
    "model_type": "the model",
    "layer": "the model's layer",
    "weights": "the model's weights",
    "idf": "whether rare words weigh more",
    "rescale": "whether the score of unrelated sentences is 0",
    "version": "the version of sacreBLEU",
    "features": "where RadCliQ's features come from",
    "protocol": "which text is compared",
    "unit": "what counts once",
    "views": "which images count",
    "text": "how both texts are cleaned",
    "length": "after how many words both texts are cut",
    "vocabulary": "which words are known; any other becomes <unk>",
    "reference": "what reports are compared with",
    "failures": "what becomes of a report that could not be made",
    "data": "the studies",
}
LIBRARIES = ("pycocoevalcap", "rouge-score", "bert-score", "transformers", "radgraph", "nltk")

_VALUES = {
    ("failures", "exclude"): "left out",
    ("failures", "empty"): "counted as an empty text",
    ("unit", "study"): "a study",
    ("unit", "image"): "each image of a study",
    ("views", "frontal"): "frontal images",
    ("reference", "report"): "the reference report",
    ("reference", "labels"): "the dataset's labels",
    ("tokenizer", "ptb"): "PTB tokens in lower case, no punctuation",
    ("tokenizer", "none"): "whatever stands between blanks",
}
_ABSENT = {"views": "all images", "length": "never cut", "vocabulary": "every word"}
_LOWER = ("lower", "libra", "r2gen-mimic", "r2gen-iu")  # steps after which everything is in lower case


@dataclass(frozen=True)
class Difference:
    """A field in which two signatures differ; an absent one is None. ``words`` say it in a sentence."""

    field: str
    a: str | None
    b: str | None
    words: str


def fields(signature: str) -> dict[str, str]:
    """The fields of a signature by name, in order. A piece without a value is a field of its own, with none.

    >>> fields("bleu|tokenizer:ptb|v:1|vocabulary@1d61")
    {'metric': 'bleu', 'tokenizer': 'ptb', 'v': '1', 'vocabulary': '1d61'}
    """
    out: dict[str, str] = {}
    for at, piece in enumerate(_pieces(signature)):
        end = next((at for at, letter in enumerate(piece) if letter in ":@"), None)
        name, value = (METRIC, piece) if at == 0 else (piece, "") if end is None else (piece[:end], piece[end + 1 :])
        while name in out:  # a metric may have an option of the same name as a field of the protocol
            name += "'"
        out[name] = value
    return out


def _pieces(signature: str) -> Iterator[str]:
    """Split at the bars that stand outside brackets: the signature of a nested part stands in them."""
    depth, start = 0, 0
    for at, letter in enumerate(signature):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            yield signature[start:at]
            start = at + 1
    yield signature[start:]


def differences(a: str, b: str) -> tuple[Difference, ...]:
    """The fields in which two signatures differ, in order."""
    first, second = fields(a), fields(b)
    names = [*first, *(name for name in second if name not in first)]
    return tuple(
        Difference(name, first.get(name), second.get(name), _sentence(name, first.get(name), second.get(name)))
        for name in names
        if first.get(name) != second.get(name)
    )


def _sentence(name: str, a: str | None, b: str | None) -> str:
    if name == "data" and a and b:
        return _data(a, b)
    if name == "text" and a and b and a.partition("@")[0] == b.partition("@")[0]:
        return f"how both texts are cleaned: by the same steps ({a.partition('@')[0]}) in another version"
    about = WORDS.get(name) or (f"the version of {name}" if name in LIBRARIES else name)
    return f"{about}: {_said(name, a)} in A, {_said(name, b)} in B"


def _said(name: str, value: str | None) -> str:
    """A field's value in words."""
    if value is None:
        return _ABSENT.get(name, "not stated")
    if name == "protocol" and value in PROTOCOLS:
        return f"{value} ({PROTOCOLS[value].summary})"
    if name == "vocabulary":
        return _ABSENT[name] if value == "none" else f"those frequent in training ({value})"
    if name == "text":
        return value.partition("@")[0].replace("+", ", then ")
    return _VALUES.get((name, value), value or "yes")


def _data(a: str, b: str) -> str:
    """``name/split/digest`` of the studies."""
    (name_a, split_a, _), (name_b, split_b, _) = ((*each.split("/"), "", "")[:3] for each in (a, b))
    if name_a != name_b:
        return f"the studies: of {name_a} ({split_a}) in A, of {name_b} ({split_b}) in B"
    if split_a != split_b:
        return f"the studies: the split {split_a} of {name_a} in A, {split_b} in B"
    return f"the studies: both of {name_a} ({split_a}), but not the same ones, or not with the same reports and labels"


def facets(score: Score) -> dict[str, str]:
    """What a score depends on under the headings that papers leave open, in words."""
    of = fields(score.signature)
    protocol = PROTOCOLS.get(score.protocol)
    name, _, rest = of.get("data", "").partition("/")
    split, _, digest = rest.partition("/")
    libraries = [f"{library} {of[library]}" for library in LIBRARIES if library in of]
    return {
        "metric": score.metric,
        "implementation": ", ".join([of[METRIC], *libraries]),
        "version": of.get("v", "not stated"),
        "tokeniser": next(
            (_said("tokenizer", of[key]) for key in ("tokenizer", "tok", "words") if key in of), "its own"
        ),
        "case": _case(of),
        "section": " and ".join(protocol.sections) if protocol else "not known",
        "counted": _said("unit", of.get("unit", "study")),
        "text": _said("text", of.get("text")),
        "reference": _said("reference", of.get("reference")),
        "uncertain": _uncertain(score.metric, of),
        "average": _average(score.metric),
        "n": f"{score.n}, and {score.n_failed} failed",
        "failures": _said("failures", of.get("failures")),
        "data": f"{name}, {split}",
        "digest": digest,
    }


def _case(of: Mapping[str, str]) -> str:
    steps = of.get("text", "").partition("@")[0].split("+")
    if of.get("tokenizer") == "ptb" or of.get("case") in ("lc", "lower") or of.get("words") == "lower":
        return "lower case"
    if any(step in _LOWER for step in steps):
        return "lower case, by the protocol"
    return of.get("case", "as written, unless the metric's own words say otherwise")


def _uncertain(metric: str, of: Mapping[str, str]) -> str:
    if "truth-uncertain" in of:
        return of["truth-uncertain"]
    if "labels" not in of:
        return "no labels"
    return "positive" if metric.endswith("_upos") else "negative"


def _average(metric: str) -> str:
    known = ("micro", "macro", "weighted", "samples")
    return next((word for word in known if f"_{word}" in metric), "not of labels")

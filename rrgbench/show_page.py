"""The page of `rrgbench show`: report beside reference, study by study, with what they and the findings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rrgbench import __version__, plugins
from rrgbench.errors import UsageError
from rrgbench.leaderboard.building import write_page
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.leaderboard.page import SYNTHETIC, document
from rrgbench.parts import build
from rrgbench.runs import private_folder
from rrgbench.showing import LabelRow, Made, OpenedRun, side_by_side
from rrgbench.types import Failure, Report, Status

LABELER = "rulelabel"
NAME = "show.html"
MANY = 300  # studies: what is out of sight is laid out when it comes into sight

STYLE = """
.filter { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: baseline; margin-top: 1.2rem; }
.filter input[type="search"] {
  font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: 4px;
  padding: .3rem .5rem; width: min(22rem, 100%);
}
.filter label { display: inline-flex; gap: .35em; align-items: baseline; }
.filter input { accent-color: var(--mark); margin: 0; }
.filter input[type="checkbox"] { translate: 0 .1em; }
.filter output { color: var(--soft); }
.study { margin-top: 1.6rem; padding-top: .7rem; border-top: 1px solid var(--rule); scroll-margin-top: 1rem; }
.many .study { content-visibility: auto; contain-intrinsic-size: auto 22rem; }
.study h2 { font-size: 1.05rem; }
.study h2 a { color: inherit; text-decoration: none; }
.texts { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1rem 2rem; margin-top: .5rem; }
.texts h3 { font-size: .86rem; color: var(--soft); font-weight: 650; }
.texts dl { margin-top: .2rem; }
.texts dt { font-size: .72rem; letter-spacing: .04em; text-transform: uppercase; color: var(--soft); }
.texts dd + dt { margin-top: .35rem; }
.texts dd { white-space: pre-line; overflow-wrap: anywhere; max-width: 46rem; }
.failed { color: var(--warn); background: var(--warn-paper); border-left: 3px solid var(--warn); padding: .3rem .7rem; }
.labels { margin-top: .8rem; }
.labels table { width: auto; }
.labels th, .labels td { padding: .2rem .9rem .2rem .3rem; white-space: nowrap; }
.labels .is-present { font-weight: 650; }
.labels .is-absent, .labels .is-not { color: var(--soft); }
.labels tr.differs > * { background: var(--warn-paper); }
.labels .wrong { color: var(--warn); font-weight: 650; }
.study details { margin-top: .6rem; font-size: .86rem; }
.study summary { width: max-content; max-width: 100%; cursor: pointer; color: var(--mark); }
.study details p { white-space: pre-wrap; overflow-wrap: anywhere; color: var(--soft); margin-top: .3rem; }
.facts { font-size: .86rem; margin-top: .5rem; }
dl.facts { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; }
.facts div { display: flex; gap: .4em; }
.facts dt { color: var(--soft); }
.menu > dl.facts { display: block; max-height: none; border: 0; padding: 0; }
.facts dd { overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .texts { grid-template-columns: minmax(0, 1fr); }
  .labels table { font-size: .8rem; }
  .labels th, .labels td { padding-right: .3rem; white-space: normal; }
  .labels th:first-child { padding-left: 1rem; }
}
@media print { .filter { display: none; } .many .study { break-inside: avoid; content-visibility: visible; } }
"""

SCRIPT = Html("""
"use strict";
// The page is whole without this script, which adds a search and switches that leave out studies.
const bar = document.querySelector(".filter");
const words = bar.querySelector("input[type=search]");
const boxes = Array.from(bar.querySelectorAll("input[type=checkbox]"));
const studies = Array.from(document.querySelectorAll(".study"), (study) => ({
  study, text: study.textContent.toLowerCase(), flags: study.dataset.flags.split(" "),
}));
function sift() {
  const sought = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
  let shown = 0;
  for (const { study, text, flags } of studies) {
    const fits = sought.every((word) => text.includes(word)) &&
      (wanted.length === 0 || wanted.some((flag) => flags.includes(flag)));
    study.hidden = !fits;
    shown += fits;
  }
  bar.querySelector("output").textContent = `${shown} of ${studies.length}`;
}
bar.addEventListener("input", sift);
bar.hidden = false;
sift();
""")

FLAGS = {
    "failed": "without a report",
    "given": "report against its findings",
    "reference": "report against the reference",
}
_AGAINST_GIVEN = {
    "contradiction": "contradicts the findings",
    "omission": "leaves the finding out",
    "invention": "was not given",
}
_AGAINST_REFERENCE = {
    "contradiction": "contradicts the reference",
    "omission": "only in the reference",
    "invention": "not in the reference",
}


def write(run: OpenedRun, out: Path | None = None) -> Path:
    """Write the page to a file or folder; by default, into the run folder. Returns the file.

    Of data that is not open the page lies in the run folder, which is made its owner's alone. Raises UsageError for
    any other place.
    """
    file = run.folder / NAME if out is None else out / NAME if out.is_dir() else out
    if run.terms == "open":
        write_page(file, page(run))
        return file
    if run.folder.resolve() not in file.resolve().parents:
        raise UsageError(
            f"The data of this run is {run.terms}: a page with its reports is written into {run.folder} only, not to"
            f" {file}. Leave --out out."
        )
    private_folder(run.folder)
    write_page(file, page(run))
    file.chmod(0o600)
    return file


def page(run: OpenedRun) -> str:
    """The whole document; it loads nothing."""
    try:
        rows: Sequence[Sequence[LabelRow]] = side_by_side(run.made, build(plugins.catalogue(), "labeler", LABELER).obj)
        unread = None
    except UsageError as error:
        rows, unread = [()] * len(run.made), f"No labels are compared: {error}."
    studies = [(made, labels, _flags(made, labels)) for made, labels in zip(run.made, rows, strict=True)]
    counts = {flag: sum(flag in flags for _, _, flags in studies) for flag in FLAGS}
    name = str(run.manifest["system"])
    synthetic = getattr(run.plan.parts["dataset"].obj, "synthetic", False)
    return document(
        f"{name}: reports",
        el("header", el("h1", el("bdi", name)), _facts(run)),
        el(
            "main",
            el("p", SYNTHETIC, class_="synthetic", role="note") if synthetic else None,
            el("p", _private(run.terms), class_="synthetic", role="note") if run.terms != "open" else None,
            el("p", unread or _READ, class_="facts"),
            _filter(counts),
            *(_study(*each) for each in studies),
            class_="many" if len(studies) > MANY else None,
        ),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
        style=Html(STYLE),
        script=SCRIPT,
    )


_READ = (
    f"Labels are read in both texts by {LABELER}, findings and impression together; where there is no reference text, "
    "the dataset’s own labels stand for it. Rows name what anything says is present or possible; shaded ones differ."
)


def _private(terms: str) -> str:
    return f"The data of this run is {terms}: this page holds reports, and must stay in this folder."


def _facts(run: OpenedRun) -> Html:
    made = sum(isinstance(each.outcome, Report) for each in run.made)
    facts = {
        "run": run.manifest["run_id"],
        "split": run.plan.split or "all",
        "studies": f"{len(run.made)}, {made} with a report",
        "terms": run.terms,
    }
    signatures = [
        el("div", el("dt", kind), el("dd", el("code", text)))
        for kind, text in run.manifest["signatures"].items()
        if kind != "system" or "encoder" not in run.manifest["signatures"]
    ]
    return join(
        el("dl", *(el("div", el("dt", term), el("dd", value)) for term, value in facts.items()), class_="facts"),
        el("details", el("summary", "What made these reports"), el("dl", *signatures, class_="facts"), class_="menu"),
    )


def _filter(counts: Mapping[str, int]) -> Html:
    boxes = (
        el("label", el("input", type="checkbox", value=flag), f"{words} ({counts[flag]})")
        for flag, words in FLAGS.items()
    )
    search = el("input", type="search", placeholder="study or words", aria_label="Search study ids and texts")
    return el("div", search, *boxes, el("output"), class_="filter", hidden=True, role="search")


def _flags(made: Made, labels: Sequence[LabelRow]) -> list[str]:
    found = {
        "failed": isinstance(made.outcome, Failure),
        "given": any(row.against_given for row in labels),
        "reference": any(row.against_reference for row in labels),
    }
    return [flag for flag, there in found.items() if there]


def _study(made: Made, labels: Sequence[LabelRow], flags: Sequence[str]) -> Html:
    study_id = made.study.study_id
    return el(
        "article",
        el("h2", el("a", el("bdi", study_id), href=f"#{study_id}")),
        el(
            "div",
            el("section", el("h3", "Reference"), _sections(made.study.sections) or el("p", "none")),
            el("section", el("h3", "Report"), _outcome(made.outcome)),
            class_="texts",
        ),
        _labels(labels) if labels else None,
        _details(made),
        _judges(made),
        id=study_id,
        class_="study",
        data_flags=" ".join(flags),
    )


def _sections(sections: Mapping[str, str]) -> Html | None:
    if not sections:
        return None
    return el("dl", *(join(el("dt", name), el("dd", text)) for name, text in sections.items()))


def _outcome(outcome: Report | Failure) -> Html:
    if isinstance(outcome, Failure):
        return el("p", el("b", outcome.kind), f": {outcome.message}", class_="failed")
    return _sections(outcome.by_image or outcome.sections) or el("dl", el("dd", outcome.text))


def _labels(labels: Sequence[LabelRow]) -> Html:
    heads = ("label", "reference", "findings given", "report", "")
    table = el(
        "table",
        el("caption", "Labels side by side", class_="vh"),
        el("thead", el("tr", *(el("th", head, scope="col") for head in heads))),
        el("tbody", *map(_label, labels)),
    )
    return el("div", table, class_="scroll labels", tabindex=0, role="region", aria_label="Labels: scrolls sideways")


def _label(row: LabelRow) -> Html:
    wrong = [
        words[kind]
        for kind, words in ((row.against_given, _AGAINST_GIVEN), (row.against_reference, _AGAINST_REFERENCE))
        if kind
    ]
    cells = (el("td", *_status(status)) for status in (row.reference, row.given, row.report))
    said = el("td", "; ".join(wrong), class_="wrong")
    return el("tr", el("th", row.label, scope="row"), *cells, said, class_="differs" if wrong else None)


def _status(status: Status | None) -> list[Html]:
    if status is None:
        return [el("span", "–", class_="is-not")]
    return [el("span", str(status), class_=f"is-{str(status).split()[0]}")]


def _details(made: Made) -> Html | None:
    record = made.record
    lines = []
    if found := made.findings:
        named = (f"{f.label}{'' if f.probability is None else f' {f.probability:.2f}'}" for f in found)
        lines.append(el("p", f"Findings ({found.vocabulary.name}): {', '.join(named)}"))
    if reasoning := record.get("reasoning"):
        lines.append(el("p", f"Reasoning: {reasoning}"))
    used = [f"{name.replace('_', ' ')} {record[name]}" for name in _USED if record.get(name) not in (None, 0)]
    if used:
        lines.append(el("p", "; ".join(used)))
    if record.get("calls"):
        lines.append(el("p", f"Its messages: rrgbench show RUN {made.study.study_id}"))
    return el("details", el("summary", "Findings and what it took"), *lines) if lines else None


def _judges(made: Made) -> Html | None:
    """What judges said of the report, and what of it could not be read."""
    if not made.replies:
        return None
    lines = []
    for line in made.replies:
        said = [el("p", str(line["reply"]))] if line.get("reply") is not None else []
        why = line.get("unreadable") or line.get("why")
        wrong = el("p", el("b", str(line.get("failure") or "not read")), f": {why}", class_="failed") if why else None
        lines.append(el("div", el("p", el("code", str(line.get("metric")))), *said, wrong))
    return el("details", el("summary", f"What judges replied ({len(lines)})"), *lines)


_USED = ("model", "prompt_hash", "calls", "prompt_tokens", "completion_tokens", "cost", "write_seconds")

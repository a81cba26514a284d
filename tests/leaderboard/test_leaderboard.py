"""What the page says and, above all, what it refuses to put side by side. Read from the HTML, as a reader would."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.leaderboard import Built, build
from rrgbench.leaderboard.boards import arrange, nice_scale, rank_ranges
from rrgbench.leaderboard.entries import read_all
from rrgbench.types import Score
from tests.leaderboard.score_files import plausible, run, score, write

GRID = ("constant", *(f"{encoder}+{llm}" for encoder in ("vit", "cnn", "oracle") for llm in ("template", "local")))


class Element:
    """A node of the parsed page."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes, self.children = tag, attributes, list[Element | str]()

    def get(self, name: str) -> str:
        return self.attributes.get(name) or ""

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str, css: str | None = None) -> list[Element]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and (css is None or css in child.get("class").split()):
                    found.append(child)
                found += child.all(tag, css)
        return found


class Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.stack[-1].children.append(element)
        if tag not in ("meta", "input", "wbr"):
            self.stack.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


def parse(built: Built) -> Element:
    parser = Parser()
    parser.feed(built.path.read_text(encoding="utf-8"))
    assert len(parser.stack) == 1, "every element is closed"
    return parser.stack[0]


def page_of(folder: Path, *records: Any) -> Element:
    return parse(build([write(folder / "runs", *records)], folder / "board.html"))


def boards_of(page: Element) -> list[Element]:
    return page.all("section", "board")


def grid(board: Element) -> dict[tuple[str, str], dict[str, Element]]:
    """The cells of a board's first table: (title of the column's head) then (name of the system) to the cell."""
    table = board.all("table")[0]
    heads = table.all("thead")[0].all("th")
    cells: dict[tuple[str, str], dict[str, Element]] = {}
    for row in table.all("tbody")[0].all("tr"):
        system, *values = (child for child in row.children if isinstance(child, Element))
        assert len(values) == len(heads) - 1
        for head, value in zip(heads[1:], values, strict=True):
            key = (head.get("title").split(":")[0], head.get("title").partition("signature ")[2])
            cells.setdefault(key, {})[system.get("data-v")] = value
    return cells


def systems(board: Element) -> list[str]:
    return [cell.get("data-v") for cell in board.all("table")[0].all("tbody")[0].all("th", "system")]


# What may stand side by side


def test_protocols_and_datasets_and_splits_each_get_a_board_of_their_own(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        run("a", [score("bleu_4", 0.1), score("bleu_4", 0.2, protocol="findings")]),
        run("b", [score("bleu_4", 0.3, protocol="findings")]),
        run("c", [score("bleu_4", 0.4)], dataset_digest="other studies"),
        run("d", [score("bleu_4", 0.5)], split="validate"),
        run("e", [score("bleu_4", 0.6)], n=20),
    )
    assert [systems(board) for board in boards_of(page)] == [["b", "a"], ["e"], ["a"], ["c"], ["d"]]
    assert all(board.all("small")[0].text in ("full-text", "findings") for board in boards_of(page))


def test_another_signature_is_another_column_and_the_page_says_what_differs(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        run("a", [score("bleu_4", 0.1, signature="bleu|tok:ptb|v:1")]),
        run("b", [score("bleu_4", 0.2, signature="bleu|tok:none|v:1")]),
    )
    (board,) = boards_of(page)
    cells = grid(board)
    first, second = cells["bleu_4", "bleu|tok:ptb|v:1"], cells["bleu_4", "bleu|tok:none|v:1"]
    assert first["a"].get("data-v") == "0.1" and not first["b"].get("data-v")
    assert second["b"].get("data-v") == "0.2" and not second["a"].get("data-v")
    (notes,) = board.all("ul", "notes")
    assert "tok:ptb" in notes.text and "tok:none" in notes.text and "v:1" not in notes.text


@given(st.data())
def test_whatever_is_given_a_column_holds_one_protocol_one_signature_and_the_same_studies(data: st.DataObject) -> None:
    few = st.sampled_from
    records = [
        run(
            f"s{index}",
            [
                score("m", 0.5, protocol=protocol, signature=signature, higher_is_better=higher)
                for protocol, signature, higher in data.draw(
                    st.lists(st.tuples(few("pq"), few("xyz"), st.booleans()), unique_by=lambda t: t[:2], max_size=4)
                )
            ],
            dataset_digest=data.draw(few("de")),
            split=data.draw(few(["test", None])),
            n=data.draw(few([10, 20])),
        )
        for index in range(data.draw(st.integers(0, 6)))
    ]
    boards = arrange(entries_of(records))
    shown = 0
    for board in boards:
        assert {(row.dataset_digest, row.split, row.n) for row in board.rows} == {(board.digest, board.split, board.n)}
        for column in board.columns:
            for row, one in column.scores.items():
                assert one in board.rows[row].scores
                assert (one.protocol, one.signature) == (board.protocol, column.signature)
                assert one.higher_is_better is column.higher_is_better
                shown += 1
    assert shown == sum(len(record["scores"]) for record in records)


def entries_of(records: list[dict[str, Any]]) -> list[Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        entries, problems = read_all([write(Path(folder), *records)])
    assert not problems
    return entries


# Ranks


def places(*intervals: tuple[float, float] | None, higher: bool = True) -> list[tuple[int, int]]:
    scores = {
        i: Score("m", "p", 0.5 if ci is None else sum(ci) / 2, ci, 9, 0, higher, "s") for i, ci in enumerate(intervals)
    }
    return list(rank_ranges(scores, higher).values())


def test_intervals_that_overlap_share_their_places() -> None:
    assert places((0.8, 0.9), (0.5, 0.6), (0.55, 0.7), (0.1, 0.2)) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    # The middle one overlaps both others, which don't overlap each other.
    assert places((0.5, 0.7), (0.4, 0.55), (0.2, 0.45)) == [(1, 2), (1, 3), (2, 3)]


def test_where_lower_is_better_the_lowest_interval_is_first() -> None:
    assert places((2.0, 3.0), (0.5, 0.7), (0.6, 0.9), higher=False) == [(3, 3), (1, 2), (1, 2)]


def test_without_an_interval_no_order_is_claimed() -> None:
    assert places((0.8, 0.9), None, (0.1, 0.2)) == [(1, 2), (1, 3), (2, 3)]


def test_baselines_are_listed_by_score_marked_with_their_reason_and_not_ranked(tmp_path: Path) -> None:
    records = [run(s, [score("bleu_4", v)]) for s, v in (("oracle+local", 0.9), ("vit+local", 0.5), ("constant", 0.1))]
    (board,) = boards_of(page_of(tmp_path, *records))
    assert systems(board) == ["oracle+local", "vit+local", "constant"]
    assert [rank.text for rank in board.all("span", "rank")] == ["", "1", ""]
    badges = [(badge.text.split(",")[0], badge.get("title")) for badge in board.all("span", "badge")]
    assert badges[0] == ("oracle", "oracle: sees the dataset's own labels (upper bound)")
    assert [word for word, _ in badges] == ["oracle", "constant"]


# Values


def test_a_value_is_drawn_with_its_interval_on_a_scale_that_its_column_shares(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        run("a", [score("cider", 0.5, ci=[0.0, 1.0])]),
        run("b", [score("cider", 0.25, ci=[0.0, 0.5], n=58, n_failed=2)]),
    )
    cells = next(value for (metric, _), value in grid(boards_of(page)[0]).items() if metric == "cider")
    wide, narrow = (cells[name].all("path")[0].get("d") for name in "ab")
    assert (wide, narrow) == ("M3.0 5H73.0", "M3.0 5H38.0")
    assert (
        cells["a"].all("title")[0].text == "0.500, 95% interval 0.000 to 1.000; 60 studies scored, 0 without a report"
    )
    assert "n 58" in cells["b"].text, "scored on fewer studies than its neighbours: that must be seen"


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_a_scale_always_holds_what_it_is_for(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    start, end = nice_scale((low, high))
    slack = 1e-6 * (end - start)
    assert start < end and start <= low + slack and end >= high - slack


def test_null_shows_its_reason_where_it_stands_and_never_a_zero(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        run("a", [score("meteor", None, reason="METEOR needs Java"), score("cider", None, reason="no references")]),
        run("b", [score("meteor", 0.2), score("cider", None, reason="no references")]),
    )
    (board,) = boards_of(page)
    cells = {metric: value for (metric, _), value in grid(board).items()}
    (mark,) = cells["meteor"]["a"].all("span", "na")
    assert mark.text == "n/a: METEOR needs Java" and mark.get("title") == "METEOR needs Java"
    assert mark.attributes["tabindex"] == "0" and "data-v" not in cells["meteor"]["a"].attributes
    assert "No value for any system: cider (no references)" in board.all("ul", "notes")[0].text


def test_what_a_run_takes_is_shown_and_a_single_failure_never_rounds_away(tmp_path: Path) -> None:
    costs = {
        "encode_seconds": {"p50": 0.021, "p95": 0.034},
        "write_seconds": {"p50": 1.92, "p95": 12.34},
        "tokens": {"p50": 400, "p95": 1900},
        "usd": 1.5,
        "calls": 9999,
    }
    record = run(
        "vit+gpt4",
        [score("bleu_4", 0.1)],
        costs=costs,
        n=10_000,
        coverage=0.9999,
        failures={"timeout": 1, "refused": 0},
    )
    (board,) = boards_of(page_of(tmp_path, record))
    table = board.all("table")[0]
    (tokens,), (write_,) = table.all("td", "k-tokens"), table.all("td", "k-write")
    assert [span.text for span in write_.all("span")] == ["1.92", "12.3"]
    assert [span.text for span in tokens.all("span")] == ["400", "1\u202f900"]
    assert table.all("td", "k-coverage")[0].text == "99.9%1 timeout"
    assert table.all("td", "k-usd")[0].text == "1.509\u202f999 calls"


def test_the_first_columns_are_the_headline_scores_and_all_others_can_be_switched_on(tmp_path: Path) -> None:
    (board,) = boards_of(page_of(tmp_path, plausible("vit+local")))
    boxes = {box.get("id"): "checked" in box.attributes for box in board.all("input")}
    heads = board.all("table")[0].all("th", "metric")
    assert len(boxes) == len(heads) + 5
    shown = [head.get("title").split(":")[0] for head in heads if boxes[f"b1-{head.get('class').split()[0]}"]]
    assert shown == [
        "rulelabel_micro_f1_14", "rulelabel_macro_f1_14", "bleu_4", "meteor", "rouge_l", "cider", "auroc_macro",
    ]  # fmt: skip
    assert heads[0].get("aria-sort") == "descending"


# What each stage costs


def test_the_encoders_loss_is_read_with_the_template_and_the_writers_on_each_encoder(tmp_path: Path) -> None:
    values = {"oracle+template": 0.9, "oracle+local": 0.8, "vit+template": 0.6, "vit+local": 0.55, "constant": 0.1}
    records = [run(s, [score("rulelabel_micro_f1_14", v), score("bleu_4", v / 2)]) for s, v in values.items()]
    (board,) = boards_of(page_of(tmp_path, *records))
    (stages,) = board.all("div", "stages")
    rows = [row for body in stages.all("tbody") for row in body.all("tr") if row.all("td")]
    assert [[cell.all("span", "value")[0].text for cell in row.all("td")] for row in rows] == [
        ["−0.300", "−0.150"],
        ["−0.100", "−0.050"],
        ["−0.050", "−0.025"],
    ]
    assert [row.all("th")[0].text for row in rows] == [
        "oracle → vitwritten by template",
        "template → localon oracle",
        "template → localon vit",
    ]
    assert rows[0].all("td")[0].all("title")[0].text == (
        "0.900, 95% interval 0.860 to 0.940; then 0.600, 95% interval 0.560 to 0.640"
    )


def test_without_a_template_run_the_encoders_loss_is_read_with_the_llm_both_have(tmp_path: Path) -> None:
    records = [run(s, [score("bleu_4", v)]) for s, v in (("oracle+local", 0.8), ("vit+local", 0.5), ("cnn+gpt4", 0.4))]
    (board,) = boards_of(page_of(tmp_path, *records))
    assert [row.text for row in board.all("div", "stages")[0].all("th", "system")[1:]] == [
        "oracle → vitwritten by local"
    ]


def test_runs_that_differ_by_more_than_a_stage_are_not_subtracted(tmp_path: Path) -> None:
    other = run("vit+local", [score("bleu_4", 0.5)])
    other["specs"] = {**other["specs"], "prompt": "cot"}
    (board,) = boards_of(page_of(tmp_path, run("oracle+local", [score("bleu_4", 0.8)]), other))
    assert not board.all("div", "stages")


# Drawn data


def test_synthetic_boards_say_so_and_others_don_t(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        run("a", [score("bleu_4", 0.1)]),
        run("a", [score("bleu_4", 0.1)], dataset="nih", synthetic=False),
    )
    nih, phantom = boards_of(page)
    banner = "Synthetic: phantom radiographs drawn by code. These numbers say nothing about patients."
    assert banner in phantom.text and banner not in nih.text


# Hostile and broken files

EVIL = """<script>alert(1)</script>"'><img src=x onerror="alert(2)">&lt;\u2028\u202e\x00\ud800</style>-->"""


def test_every_text_of_a_file_is_escaped(tmp_path: Path) -> None:
    plain = page_of(tmp_path / "plain", plausible("vit+local"), '{"bad": 1}')
    record = plausible("a+b", baseline=True, baseline_notes=[EVIL], terms=EVIL, created=EVIL, split=EVIL)
    record["system"] = EVIL
    record |= {"dataset": EVIL, "dataset_spec": EVIL, "dataset_digest": EVIL, "run_id": EVIL, "failures": {EVIL: 3}}
    record["parts"] = record["specs"] = {"encoder": EVIL, "llm": EVIL, EVIL: EVIL}
    record["scores"] = [
        score(EVIL, 0.5, protocol=EVIL, signature=EVIL),
        score("m", None, protocol=EVIL, reason=EVIL),
        score("m", 0.5, protocol=EVIL, signature=f"{EVIL}|x"),
    ]
    page = page_of(tmp_path / "evil", record, json.dumps({"schema_version": EVIL}))
    for tag in ("script", "style", "meta"):
        assert len(page.all(tag)) == len(plain.all(tag))
    assert not page.all("img")
    seen = EVIL.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert page.all("bdi", "name")[0].text == seen
    assert seen in [mark.get("title") for mark in page.all("span", "na")]
    assert page.all("th", "metric")[0].get("title").endswith(seen)


def test_no_attribute_runs_code_or_loads_anything(tmp_path: Path) -> None:
    built = build([write(tmp_path / "runs", *map(plausible, GRID))], tmp_path / "b.html")

    def elements(of: Element) -> list[Element]:
        return [x for child in of.children if isinstance(child, Element) for x in (child, *elements(child))]

    for element in elements(parse(built)):
        assert not [name for name in element.attributes if name.startswith("on") or name in ("src", "style", "srcset")]
        assert element.get("href").startswith("#") or "href" not in element.attributes
        assert element.tag not in ("link", "iframe", "object", "base", "form")
    text = built.path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src &#x27;none&#x27;" in text


BROKEN: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "not a JSON object"),
    "deep": ("[" * 100_000, "not JSON"),
    "foreign": ({"scores": []}, "no schema_version"),
    "newer": ({"schema_version": 2}, "schema_version 2"),
    "missing key": ({k: v for k, v in run("a", []).items() if k != "coverage"}, '"coverage" is missing'),
    "NaN": (json.dumps(run("a", [score("m", float("nan"))])), "NaN"),
    "infinite": (json.dumps(run("a", [score("m", 7.5)])).replace("7.5,", "1e999,"), "out of any score's range"),
    "huge": (run("a", [score("m", None) | {"value": 10**400}]), "out of any score's range"),
    "a text for a number": (run("a", [score("m", 0.1, n="60")]), 'scores[0]: "n" is "60", not a count'),
    "null without reason": (run("a", [score("m", None, reason=None)]), "null without a reason"),
    "reversed interval": (run("a", [score("m", 0.1, ci=[0.2, 0.1])]), "low above high"),
    "twice": (run("a", [score("m", 0.1), score("m", 0.2)]), 'scores[1]: a second "m"'),
    "coverage": (run("a", [], coverage=98), "not within 0..1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_left_out_and_named_with_its_reason(tmp_path: Path, name: str) -> None:
    record, reason = BROKEN[name]
    runs = write(tmp_path / "runs", run("good", [score("bleu_4", 0.1)]), record)
    built = build([runs], tmp_path / "b.html")
    (problem,) = built.problems
    assert built.n_runs == 1 and problem.path == runs / "run1" / "scores.json" and reason in problem.reason
    (section,) = parse(built).all("section", "problems")
    assert "runs/run1/scores.json" in section.text and reason in section.text
    assert str(tmp_path) not in section.text, (
        "a page may be published; the folders above its runs are nobody's business"
    )


def test_bytes_that_are_no_text_are_left_out_too(tmp_path: Path) -> None:
    runs = write(tmp_path / "runs", run("good", [score("bleu_4", 0.1)]), "")
    (runs / "run1" / "scores.json").write_bytes(b"\xff\xfe\x00")
    assert "not JSON" in build([runs], tmp_path / "b.html").problems[0].reason


# Where runs are found


def test_sources_may_be_run_folders_their_parents_or_files_and_each_run_is_shown_once(tmp_path: Path) -> None:
    runs = write(tmp_path / "runs", *(run(name, [score("bleu_4", 0.1)]) for name in "abc"))
    sources = [runs / "run0", runs / "run1" / "scores.json", runs]
    built = build(sources, tmp_path / "new" / "b.html")
    assert built == Built(tmp_path / "new" / "b.html", 3, ())
    assert systems(boards_of(parse(built))[0]) == ["a", "b", "c"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.html"], "no partial file is left"


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere", run("a", [score("bleu_4", 0.1)]))
    runs = write(tmp_path / "runs", run("b", [score("bleu_4", 0.1)]))
    (runs / "link").symlink_to(elsewhere, target_is_directory=True)
    (runs / "run1").mkdir()
    (runs / "run1" / "scores.json").symlink_to(elsewhere / "run0" / "scores.json")
    assert build([runs], tmp_path / "b.html").n_runs == 1


def test_of_two_files_of_one_run_the_newer_is_shown(tmp_path: Path) -> None:
    old = run("a", [score("bleu_4", 0.1)], created="2026-11-20T00:00:00+00:00")
    new = run("a", [score("bleu_4", 0.2)], created="2026-11-21T00:00:00+00:00")
    built = build([write(tmp_path / "runs", new, old)], tmp_path / "b.html")
    (problem,) = built.problems
    assert problem.path.parent.name == "run1" and "same run as runs/run0/scores.json" in problem.reason
    (cells,) = (cells for (metric, _), cells in grid(boards_of(parse(built))[0]).items() if metric == "bleu_4")
    assert cells["a"].get("data-v") == "0.2"


def test_no_run_at_all_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rrgbench run"):
        build([tmp_path], tmp_path / "b.html")
    with pytest.raises(UsageError, match=r"(?s)run0.*not JSON.*rrgbench run"):
        build([write(tmp_path / "runs", "{")], tmp_path / "b.html")
    with pytest.raises(UsageError, match=r"There is no .*nowhere"):
        build([tmp_path / "nowhere"], tmp_path / "b.html")
    with pytest.raises(UsageError, match="is a folder"):
        build([tmp_path], tmp_path)
    assert not (tmp_path / "b.html").exists()


def test_the_page_does_not_depend_on_the_order_in_which_runs_are_found(tmp_path: Path) -> None:
    records = [plausible(name) for name in (*GRID, "vit+gpt4")] + [plausible("vit+local", dataset="nih")]
    pages = []
    for seed in range(3):
        folder = tmp_path / str(seed) / "runs"
        write(folder, *records)
        sources = sorted(folder.iterdir())
        random.Random(seed).shuffle(sources)
        html = build(sources, tmp_path / "b.html").path.read_text(encoding="utf-8")
        pages.append(re.sub(r"<time.*?</time>", "", html))
    assert pages[0] == pages[1] == pages[2]


def test_unknown_further_keys_are_no_matter(tmp_path: Path) -> None:
    record = run("a", [score("bleu_4", 0.1, later="x")], later={"a": [1]})
    assert build([write(tmp_path / "runs", record)], tmp_path / "b.html").problems == ()


def test_a_board_whose_protocol_counts_images_says_how_many(tmp_path: Path) -> None:
    counted = score("bleu_4", 0.2, protocol="r2gen", n=3858, signature="bleu|protocol:r2gen|unit:image|data:x")
    page = page_of(tmp_path, run("vit", scores=[counted]))
    facts = boards_of(page)[0].all("dl", "facts")[0].text
    assert "Counted3\u202f858 images" in facts

"""The page of `rrgbench saliency`: scores beside chance, then the images with what the encoders looked at."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench import __version__
from rrgbench.leaderboard.figures import many, number
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.leaderboard.page import SYNTHETIC, document
from rrgbench.saliency.gallery import CALLED, SHOWN, Card, Gallery, Picture
from rrgbench.saliency.looker import Seen
from rrgbench.saliency.results import MACRO, Saliency, SaliencyScore

METRICS = {"pointing_game": "Pointing game", "iou": "Overlap (IoU)"}
WIDTH, MARGIN, ROW = 120, 4, 12  # of a drawing, in its own units
NAMED = 20  # failures

STYLE = """
.figures table { width: auto; min-width: min(100%, 40rem); }
.figures th[scope="row"] { min-width: 9rem; }
.figures td { white-space: nowrap; min-width: 9.5rem; }
.figures td.count, .figures td.chance { min-width: 0; text-align: right; color: var(--soft); }
.figures tr.all > * { border-bottom: 1px solid var(--rule); font-weight: 600; }
.figures .ends { color: var(--soft); font-size: .8rem; margin-left: .5em; font-weight: 400; }
.figures .bar { width: 120px; height: 12px; background-size: 100% 1px; }
.figures .bar .level { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 2; fill: none; }
.figures .scale { width: 120px; }
.figures th.metric { border-bottom: 0; }
.label h3 { margin-top: 1.4rem; color: var(--soft); font-weight: 400; }
.cards { display: grid; gap: 1.2rem 1.6rem; margin-top: .6rem; }
.card { margin: 0; min-width: 0; }
.card > figcaption { font-weight: 600; overflow-wrap: anywhere; font-size: .86rem; }
.panels { display: grid; gap: .4rem; margin-top: .25rem; }
.panels { grid-template-columns: repeat(auto-fit, minmax(min(100%, 8.5rem), 1fr)); }
.panels figure { margin: 0; min-width: 0; }
.panels svg { display: block; width: 100%; height: auto; background: #000; border-radius: 3px; }
.panels figcaption { font-size: .8rem; line-height: 1.35; color: var(--soft); margin-top: .2rem; }
.panels figcaption { overflow-wrap: anywhere; }
.panels figcaption b { color: var(--ink); font-weight: 600; }
.panels .miss b { color: var(--warn); }
.under, .box { fill: none; vector-effect: non-scaling-stroke; }
.under { stroke: #000; stroke-opacity: .65; stroke-width: 4; }
.box { stroke: #4fd8ff; stroke-width: 1.75; }
.point { fill: #fff; stroke: #000; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; vertical-align: -.05em; }
.key.seen { background: linear-gradient(90deg, #000, #ff7a00); width: 2.4em; }
.key.boxes { border: 2px solid #17a2cc; }
.key.dot { border-radius: 50%; background: #fff; border: 1.5px solid #000; }
@media (max-width: 40rem) { .figures th:first-child { padding-left: 1rem; } }
@media print {
  .card { break-inside: avoid; }
  .panels svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(found: Saliency, gallery: Gallery) -> str:
    """The whole document; it loads nothing."""
    title = "Where encoders look"
    labels = list(dict.fromkeys([*gallery.boxed, *gallery.called]))
    measured = list(dict.fromkeys(score.label for score in found.scores))
    labels.sort(key=lambda label: measured.index(label) if label in measured else len(measured))
    wide = min(11.5 * (1 + len(found.encoders)), 44)
    return document(
        title,
        el(
            "header",
            el("h1", title),
            el("p", ", ".join(found.encoders), f": {found.method} on ", el("code", found.dataset)),
        ),
        el(
            "main",
            _how_to_read(),
            el("p", SYNTHETIC, class_="synthetic", role="note") if found.synthetic else None,
            el("p", PRIVATE, class_="synthetic", role="note") if found.terms != "open" else None,
            _figures(found),
            _images(gallery),
            *(_label(label, list(found.encoders), gallery) for label in labels),
            _problems(found),
        ),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
        style=Html(
            f"{STYLE}.cards {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, {wide}rem), 1fr)); }}\n"
        ),
    )


PRIVATE = (
    "This page shows images and study ids of data that is not open: keep it where the data may be, and publish figures"
    " alone."
)


def _how_to_read() -> Html:
    points: tuple[tuple[tuple[object, ...], str], ...] = (
        (
            (_key("seen"), "Seen"),
            "Where the encoder looked for this label, the stronger the colour the more: from none to the most in this"
            " image. Maps of two images, or of two labels, can’t be compared by strength.",
        ),
        (
            (_key("boxes"), "Boxes, ", _key("dot"), "point"),
            "Boxes are the truth’s. The white point is where the map is greatest. Pointing game: the share of findings"
            " whose point lies in a box.",
        ),
        (
            ("Overlap",),
            "Intersection over union of the boxes with what stands out in the map (Otsu’s threshold of each map, so"
            " that none is tuned). Boxes are coarse, so 1 is out of reach.",
        ),
        (
            ("Chance",),
            "The dashed line: the share of the image that the boxes cover. It is what a random point gets in the"
            " pointing game, and the overlap of a map that marks everything. Bars: 95% intervals, patients drawn.",
        ),
    )
    items = (el("div", el("dt", *term), el("dd", meaning)) for term, meaning in points)
    return el("section", el("dl", *items), class_="how", aria_label="How to read this page")


def _key(name: str) -> Html:
    return el("span", class_=f"key {name}", aria_hidden="true")


def _figures(found: Saliency) -> Html:
    if not found.scores:
        text = "Nothing is measured: no finding of these studies has a box of a label that an encoder assesses."
        return el("section", el("h2", "Figures"), el("p", text), class_="board figures")
    labels = list(dict.fromkeys(score.label for score in found.scores))
    several = len(found.encoders) > 1
    ends = el("span", el("span", "0"), el("span", "1"), class_="scale", aria_hidden="true")
    first = (
        el("th", "finding", scope="col", rowspan=2),
        el("th", "n", scope="col", rowspan=2),
        el("th", "chance", scope="col", rowspan=2),
        *(el("th", name, scope="colgroup", colspan=len(found.encoders), class_="metric") for name in METRICS.values()),
    )
    second = [el("th", name if several else None, ends, scope="col") for _ in METRICS for name in found.encoders]
    return el(
        "section",
        el("h2", "Figures ", el("small", f"{many(found.n, 'study')}, split {found.split or 'all'}")),
        el(
            "div",
            el(
                "table",
                el("caption", "Pointing game and overlap by label and encoder", class_="vh"),
                el("thead", el("tr", *first), el("tr", *second)),
                el("tbody", *(_row(label, found) for label in labels)),
            ),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label="Figures: scrolls sideways",
        ),
        class_="board figures",
    )


def _row(label: str, found: Saliency) -> Html:
    mine = [score for score in found.scores if score.label == label]
    by_cell = {(score.metric.startswith("iou"), score.encoder): score for score in mine}
    counts = dict.fromkeys(str(score.n) for score in mine)
    chances = dict.fromkeys(number(score.chance, 2) for score in mine)
    cells = [_cell(by_cell.get((metric == "iou", encoder))) for metric in METRICS for encoder in found.encoders]
    all_labels = label == MACRO
    return el(
        "tr",
        el("th", "mean of the labels" if all_labels else el("bdi", label), scope="row"),
        el("td", ", ".join(counts), class_="count"),
        el("td", ", ".join(chances), class_="chance"),
        *cells,
        class_="all" if all_labels else None,
    )


def _cell(score: SaliencyScore | None) -> Html:
    if score is None:
        return el("td", "–")
    ends = f"{number(score.ci[0], 2)} to {number(score.ci[1], 2)}" if score.ci else "no interval"
    words = f"{number(score.value, 3)}, 95% interval {ends}; chance {number(score.chance, 3)}; {score.n} findings"
    return el("td", number(score.value, 2), el("span", ends, class_="ends"), _drawing(score, words))


def _drawing(score: SaliencyScore, words: str) -> Html:
    def place(value: float) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * value:.1f}"

    middle = ROW // 2
    chance = el("path", d=f"M{place(score.chance)} 0V{ROW}", class_="level")
    line = el("path", d=f"M{place(score.ci[0])} {middle}H{place(score.ci[1])}") if score.ci else None
    drawn = join(chance, line, el("circle", cx=place(score.value), cy=middle, r="3"))
    return el("svg", el("title", words), drawn, class_="bar", viewBox=f"0 0 {WIDTH} {ROW}", role="img")


def _images(gallery: Gallery) -> Html:
    """Each image once; the cards refer to it."""
    images = (
        el("image", id=f"p{at}", href=picture.data, width=picture.width, height=picture.height)
        for at, picture in enumerate(gallery.pictures.values())
    )
    return el("svg", el("defs", *images), width=0, height=0, class_="vh", aria_hidden="true")


def _label(label: str, encoders: Sequence[str], gallery: Gallery) -> Html:
    parts = (
        (f"With boxes: the first {SHOWN} studies at most", gallery.boxed),
        (f"Called present without a box: the first {CALLED} at most", gallery.called),
    )
    return el(
        "section",
        el("h2", el("bdi", label)),
        *(
            join(el("h3", title), el("div", *(_card(card, encoders, gallery) for card in cards[label]), class_="cards"))
            for title, cards in parts
            if label in cards
        ),
        class_="board label",
    )


def _card(card: Card, encoders: Sequence[str], gallery: Gallery) -> Html:
    picture = gallery.pictures[card.study_id]
    image = el("use", href=f"#p{list(gallery.pictures).index(card.study_id)}")
    alone = el("figure", _svg(picture, f"The radiograph of {card.study_id}", image), el("figcaption", "image alone"))
    seen = {each.case.encoder: _panel(each, overlay, card, picture, image) for each, overlay in card.panels}
    panels = (seen.get(name) or el("figure", el("figcaption", el("bdi", name), ": no map")) for name in encoders)
    title = el("figcaption", el("bdi", card.study_id))
    return el("figure", title, el("div", alone, *panels, class_="panels"), class_="card")


def _panel(seen: Seen, overlay: str, card: Card, picture: Picture, image: Html) -> Html:
    width, height = picture.width, picture.height
    shapes = [image, el("image", href=overlay, width=width, height=height, preserveAspectRatio="none")]
    for css in ("under", "box"):
        for box in card.boxes:
            x, y, w, h = box.x * width, box.y * height, box.width * width, box.height * height
            corner = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{w:.1f}", "height": f"{h:.1f}"}
            shapes.append(el("rect", **corner, class_=css))
    if seen.point:
        x, y = seen.point
        shapes.append(
            el("circle", cx=f"{x * width:.1f}", cy=f"{y * height:.1f}", r=max(width, height) / 70, class_="point")
        )
    verdict, rest = _said(seen)
    words = f"{seen.case.encoder} on {seen.case.label}: {verdict}, {rest}"
    caption = el("figcaption", el("bdi", seen.case.encoder), ": ", el("b", verdict), ", ", rest)
    missed = seen.case.boxed and not seen.case.hit
    return el("figure", _svg(picture, words, *shapes), caption, class_="miss" if missed else None)


def _said(seen: Seen) -> tuple[str, str]:
    """Hit or miss, and what goes with it."""
    case = seen.case
    called = "called present" if case.called else "not called"
    p = f"p\u00a0{number(case.probability, 2)}, " if case.probability is not None else ""
    if case.boxed:
        return "hit" if case.hit else "miss", f"overlap {number(case.iou or 0.0, 2)}, {p}{called}"
    true = {True: "present, but no box", False: "absent", None: "not said"}[case.true]
    return called, f"{p}the truth: {true}"


def _svg(picture: Picture, words: str, *shapes: Html) -> Html:
    return el("svg", el("title", words), *shapes, viewBox=f"0 0 {picture.width} {picture.height}", role="img")


def _problems(found: Saliency) -> Html | None:
    items = [el("li", note) for note in found.notes]
    for encoder, failed in found.failures.items():
        shown = list(failed.items())[:NAMED]
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        items += [el("li", encoder, " failed on ", el("bdi", study), ": ", el("bdi", why)) for study, why in shown]
        items += [el("li", encoder, more)] if more else []
    if not items:
        return None
    return el("section", el("h2", "Left out"), el("ul", *items), class_="problems")

"""HTML that is escaped by construction: what is not ``Html`` already is text, and is escaped."""

from __future__ import annotations

import html
import re

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_VOID = {"input", "meta", "wbr"}


class Html(str):
    """Text that is markup. Only this module and constants of this package make it."""

    __slots__ = ()


def text(value: object) -> Html:
    """Any value as escaped text. Control characters and halves of surrogate pairs, which HTML can't hold, become �."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True))


def join(*children: object) -> Html:
    """Children one after the other; None is nothing."""
    return Html("".join(text(child) for child in children if child is not None))


def el(tag: str, *children: object, **attributes: object) -> Html:
    """An element. ``class_`` is ``class``, ``data_v`` is ``data-v``; None and False leave an attribute out."""
    out = [f"<{tag}"]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        out.append(f" {name}" if value is True else f' {name}="{text(value)}"')
    out.append(">")
    if tag not in _VOID:
        out.append(join(*children))
        out.append(f"</{tag}>")
    return Html("".join(out))


def absent(mark: str, reason: str, focusable: bool = False) -> Html:
    """What stands where no value does; the reason is seen on hover, and on focus if it takes it, and read aloud."""
    hidden = el("span", f": {reason}", class_="vh")
    return el("span", mark, hidden, class_="na", tabindex=0 if focusable else None, title=reason)

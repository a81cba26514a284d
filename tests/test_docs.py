"""What the documentation shows is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def test_a_file_shown_is_the_file() -> None:
    shown = [match for page in PAGES for match in _FILE.findall(page.read_text())]
    assert len(shown) >= 3
    for path, text in shown:
        assert (REPOSITORY / path).read_text() == text, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_exist(page: Path) -> None:
    from typer.main import get_command

    from rrgbench.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for command in re.findall(r"^rrgbench ([a-z]+)", block, re.MULTILINE):
            assert command in commands

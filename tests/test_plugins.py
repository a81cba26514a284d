from __future__ import annotations

import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rrgbench import hookimpl, hookspecs, plugins
from rrgbench.errors import UsageError
from rrgbench.parts import build
from rrgbench.plugins import Catalogue, load

REPOSITORY = Path(__file__).resolve().parents[1]


class Point:
    """An entry point of a module that a test makes."""

    dist = None

    def __init__(self, name: str, **members: object) -> None:
        self.name = self.value = name
        self._members = members

    def load(self) -> object:
        module = types.ModuleType(self.name)
        vars(module).update(self._members)
        return module


class Loud:
    """A part for the tests."""

    version = "1"

    def __init__(self, size: int = 3, name: str = "x", folder: Path | None = None) -> None:
        self.size, self.name, self.folder = size, name, folder


def registering(name: str, target: str = "tests.test_plugins:Loud", **more: object) -> object:
    @hookimpl
    def rrgbench_register_encoders(register: hookspecs.Register) -> None:
        register(name, target, **more)  # type: ignore[arg-type]

    return rrgbench_register_encoders


def catalogue(*points: Point) -> Catalogue:
    return load(points)  # type: ignore[arg-type]


def test_every_hook_and_its_arguments_are_documented() -> None:
    text = (REPOSITORY / "docs" / "plugins.md").read_text()
    for name, hook in vars(hookspecs).items():
        if name.startswith("rrgbench_"):
            arguments = ", ".join(hook.__code__.co_varnames[: hook.__code__.co_argcount])
            assert f"`{name}({arguments})`" in text


def test_every_hook_has_a_test() -> None:
    tests = "".join(file.read_text() for file in (REPOSITORY / "tests").rglob("*.py"))
    for kind in plugins.KINDS:
        assert f"rrgbench_register_{kind}s" in tests
    assert "rrgbench_run_started" in tests and "rrgbench_run_finished" in tests


def test_the_builtin_parts_come_through_the_same_hooks() -> None:
    there = catalogue()
    for kind in ("dataset", "encoder", "renderer", "prompt", "llm", "system", "labeler", "metric"):
        assert hasattr(hookspecs, f"rrgbench_register_{kind}s")
        assert there.of_kind(kind), kind


def test_a_plugin_adds_a_part() -> None:
    there = catalogue(Point("good", rrgbench_register_encoders=registering("loud")))
    assert there.entry("encoder", "loud").distribution == "good"


def raising(error: BaseException) -> object:
    @hookimpl
    def rrgbench_register_encoders(register: object) -> None:
        raise error

    return rrgbench_register_encoders


@hookimpl
def rrgbench_register_encoder(register: object) -> None:
    """A misspelt hook."""


@hookimpl(specname="rrgbench_register_encoders")
def newer(register: object, budget: object) -> None:
    """A hook with an argument that this version doesn't have."""


def unmarked(register: object) -> None:
    """A hook without its decorator."""


BROKEN = {
    "raises": ({"rrgbench_register_encoders": raising(ValueError("boom"))}, "ValueError: boom"),
    "exits": ({"rrgbench_register_encoders": raising(SystemExit(3))}, "SystemExit: 3"),
    "misspelt": ({"rrgbench_register_encoder": rrgbench_register_encoder}, "Did you mean 'rrgbench_register_encoders'"),
    "newer": ({"rrgbench_register_encoders": newer}, "budget"),
    "unmarked": ({"rrgbench_register_encoders": unmarked}, "@hookimpl"),
    "takes-a-builtin": ({"rrgbench_register_encoders": registering("oracle")}, "already taken by rrgbench"),
    "bad-target": ({"rrgbench_register_encoders": registering("x", "no class")}, "package.module:Class"),
    "bad-name": ({"rrgbench_register_encoders": registering("My Encoder")}, "lower-case"),
    "bad-need": ({"rrgbench_register_encoders": registering("x", needs=("timm",))}, "module:NAME"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason_and_breaks_nothing(name: str) -> None:
    members, reason = BROKEN[name]
    there = catalogue(Point(name, **members), Point("good", rrgbench_register_encoders=registering("loud")))
    (broken,) = [plugin for plugin in there.plugins if plugin.problem]
    assert (broken.name, broken.entries) == (name, ())
    assert reason in (broken.problem or "")
    assert there.entry("encoder", "loud") and there.entry("encoder", "oracle").distribution == "rrgbench"


def test_a_plugin_that_fails_half_way_contributes_nothing() -> None:
    @hookimpl
    def rrgbench_register_metrics(register: object) -> None:
        raise RuntimeError("half way")

    encoders = registering("loud")
    there = catalogue(
        Point("half", rrgbench_register_encoders=encoders, rrgbench_register_metrics=rrgbench_register_metrics)
    )
    with pytest.raises(UsageError, match="no encoder 'loud'.*half"):
        there.entry("encoder", "loud")


def test_a_module_that_can_t_be_imported_is_listed() -> None:
    there = load([EntryPoint("gone", "no_such_module_anywhere", "rrgbench")])
    assert "ModuleNotFoundError" in (there.plugins[-1].problem or "")


def test_a_plugin_s_print_stays_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    @hookimpl
    def rrgbench_register_systems(register: object) -> None:
        print("hello")

    catalogue(Point("chatty", rrgbench_register_systems=rrgbench_register_systems))
    assert capsys.readouterr().out == ""


def test_run_hooks_are_called_and_guarded() -> None:
    seen = []

    @hookimpl
    def rrgbench_run_started(manifest: dict[str, object], folder: Path) -> None:
        seen.append(manifest["run_id"])

    @hookimpl
    def rrgbench_run_finished(result: object) -> None:
        raise RuntimeError("the tracker is down")

    there = catalogue(
        Point("hooks", rrgbench_run_started=rrgbench_run_started, rrgbench_run_finished=rrgbench_run_finished)
    )
    assert there.call("rrgbench_run_started", manifest={"run_id": "r"}, folder=Path()) == []
    assert seen == ["r"]
    (problem,) = there.call("rrgbench_run_finished", result=None)
    assert "the tracker is down" in problem


# --- building parts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def loud() -> Catalogue:
    return catalogue(Point("good", rrgbench_register_encoders=registering("loud", size=7)))


def test_presets_options_and_types(loud: Catalogue) -> None:
    assert build(loud, "encoder", "loud").obj.size == 7
    part = build(loud, "encoder", "loud:size=5,name=007,folder=~/a").obj
    assert (part.size, part.name, part.folder) == (5, "007", Path.home() / "a")


def test_a_signature_holds_every_option_but_no_path(loud: Catalogue) -> None:
    assert build(loud, "encoder", "loud:folder=/tmp/a").signature == "loud|folder:a|name:x|size:7|v:1"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("lod", "Did you mean 'loud'"),
        ("loud:sise=3", "no option 'sise'. Did you mean 'size'"),
        ("loud:size=big", "'size'.*can't be 'big'"),
        ("template", "is a llm"),
    ],
)
def test_a_wrong_request_is_answered_in_words(loud: Catalogue, spec: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(loud, "encoder", spec)


def test_what_is_missing_is_said_with_how_to_get_it() -> None:
    there = catalogue(
        Point("good", rrgbench_register_encoders=registering("loud", needs=("module:no_such | pip install it",)))
    )
    assert there.entry("encoder", "loud").missing() == ["the Python module 'no_such' is missing (pip install it)"]
    with pytest.raises(UsageError, match="pip install it"):
        build(there, "encoder", "loud")

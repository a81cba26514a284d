from __future__ import annotations

import stat
from pathlib import Path

from rrgbench.cache import Cache, digest


def test_a_value_outlives_the_process_that_put_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "calls.sqlite")
    cache.put({"key": {"text": "Kein Befund – ok"}})
    cache.close()
    assert Cache(tmp_path / "calls.sqlite").get("key") == {"text": "Kein Befund – ok"}
    assert Cache(tmp_path / "calls.sqlite").get("other") is None


def test_two_open_caches_share_one_file(tmp_path: Path) -> None:
    one, two = Cache(tmp_path / "calls.sqlite"), Cache(tmp_path / "calls.sqlite")
    one.put({"a": {"x": 1}})
    two.put({"b": {"x": 2}})
    assert (one.get("b"), two.get("a")) == ({"x": 2}, {"x": 1})


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    Cache(tmp_path / "calls.sqlite").close()
    assert stat.S_IMODE((tmp_path / "calls.sqlite").stat().st_mode) == 0o600


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest("a", "b") != digest("ab")

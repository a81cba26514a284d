"""The leaderboard: one HTML file made from the ``scores.json`` of runs, and from nothing else of them."""

from __future__ import annotations

from rrgbench.leaderboard.building import Built, build
from rrgbench.leaderboard.entries import Problem

__all__ = ["Built", "Problem", "build"]

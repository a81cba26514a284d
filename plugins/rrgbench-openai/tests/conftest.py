"""A server that misbehaves on demand, and an environment without keys but its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from .serving import KEY, Server


@pytest.fixture
def start() -> Iterator[Callable[[], Server]]:
    """Start servers."""
    servers: list[Server] = []

    def one(kind: type[Server] = Server) -> Server:
        servers.append(kind())
        return servers[-1]

    yield one
    for server in servers:
        server.close()


@pytest.fixture
def server(start: Callable[[], Server]) -> Server:
    """One server."""
    return start()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no address, and a key that is none."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

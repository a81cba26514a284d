"""Where a request goes, and the key that goes with it. No message holds a key, nor an address that may hold one."""

from __future__ import annotations

import ipaddress
import os
import re

from rrgbench.errors import UsageError

OPENAI_URL = "https://api.openai.com/v1"
KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")
# One spelling that every URL parser reads alike. It has no place for a user name, a password or a query, which would
# be recorded in the run folder.
_URL = re.compile(r"https?://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:\d{1,5})?(/[\w./~-]*)?", re.ASCII)


def key(variable: str) -> str:
    """The key in an environment variable; an empty string where there is none."""
    value = os.environ.get(variable, "").strip()
    if value and not re.fullmatch("[!-~]+", value):
        raise UsageError(f"{variable} holds a blank or a character outside ASCII, which no key has. Set it again.")
    return value


def host_and_port(url: str, variable: str) -> tuple[str, str]:
    """The host of a base URL, and the host with the port. ``variable`` may have given it."""
    match = _URL.fullmatch(url)
    if not match:
        raise UsageError(
            f"base_url (or {variable}) must look like http://127.0.0.1:8000/v1, with no user name, password, query or"
            " blank in it. A key belongs in an environment variable."
        )
    host = match["host"].lower()
    return host.strip("[]"), host + (match["port"] or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def one_line(text: str) -> str:
    """Words of a server, fit for a message: short, on one line, and without a key."""
    for secret in filter(None, map(key, KEYS)):
        text = text.replace(secret, "[key]")
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"

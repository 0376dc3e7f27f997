"""Credentials in addresses and messages: none is shown, logged or sent."""

from __future__ import annotations

import os
import re
from typing import Any

HIDDEN = "***"
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"<>`]+)")
_LOCAL = ("sqlite://", "file://")  # an @ in a path is a letter like any other
# Keys and tokens known by their form: AWS, GitHub, GitLab, Hugging Face, OpenAI, Slack, Databricks, Google, JWT.
_KNOWN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[opsru]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|dapi[0-9a-f]{32}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"
)
_IS = r"([\"']?\s*[=:]\s*[\"']?)"  # between a name and its value, also in JSON
_NAMED = re.compile(
    r"(?i)\b((?:[\w-]*[_-])?(?:password|passwd|secret|api[_-]?key|access[_-]?key))" + _IS + r"([^\s&,;'\")]+)"
)
# A token may also be one that a model writes: those of a credential are long and have digits.
_LONG = re.compile(
    r"(?i)\b((?:[\w-]*[_-])?(?:token|sig|signature|credential|accountkey))"
    + _IS
    + r"((?=[^\s&,;'\")]*\d)[\w+/=.~%-]{8,})"
)
_AUTHORIZATION = re.compile(r"(?i)\b(authorization" + _IS[1:-1] + r"(?:[a-z]+\s+)?|bearer\s+)([\w+/=.~-]{8,})")
_VARIABLE = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_KEY|ACCESS_KEY|PRIVATE_KEY|AUTH_STRING")
_SHORTEST = 6  # a shorter value of a variable is found in ordinary words


def masked(text: str) -> str:
    """Return a text without the credentials in it: in addresses, named ones, and values of environment variables."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _VARIABLE.search(name):
            text = text.replace(value, HIDDEN)
    text = _ADDRESS.sub(_without, text)
    text = _KNOWN.sub(HIDDEN, text)
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    for named in (_NAMED, _LONG):
        text = named.sub(rf"\1\2{HIDDEN}", text)
    return text


def address(uri: str) -> str:
    """Return an address without user, password and query, as it may be written to a file."""
    return _KNOWN.sub(HIDDEN, _ADDRESS.sub(_without, uri))


def holds_credentials(text: str) -> bool:
    """Return whether an address in a text has a user or a query, or is a key or token of a known form."""
    return address(text) != text


def mask_error(error: BaseException) -> None:
    """Take credentials out of what an exception and those behind it will print."""
    seen: set[int] = set()
    link: Any = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if any(isinstance(part, str) and masked(part) != part for part in link.args):
            link.args = tuple(masked(part) if isinstance(part, str) else part for part in link.args)
        link = link.__cause__ or link.__context__


def _without(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    rest, query, _ = rest.partition("?")
    rest, mark, fragment = rest.partition("#")
    if scheme.lower() not in _LOCAL and "@" in rest:
        host, slash, path = rest.partition("/")
        port = host.rpartition(":")[2]
        if "@" in host:
            rest = host.rpartition("@")[2] + slash + path
        elif ":" in host and not port.isdecimal():  # s3://KEY:SEC/RET@bucket
            rest = rest.rpartition("@")[2]
    shown = HIDDEN if "=" in fragment else fragment  # MLflow's pages have addresses such as #/experiments/1
    return scheme + rest + mark + shown + (f"?{HIDDEN}" if query else "")

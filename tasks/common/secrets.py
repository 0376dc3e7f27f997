"""Credentials in addresses and messages: none is shown, logged or sent."""

from __future__ import annotations

import os
import re
from typing import Any

HIDDEN = "***"
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"<>`]+)")
_LOCAL = ("sqlite://", "file://")  # an @ in a path is a letter like any other
# Keys and tokens known by their form: AWS, GitHub, GitLab, Hugging Face, OpenAI, Stripe, Slack, Databricks, Google,
# npm, PyPI, Docker, SendGrid, Atlassian, Vault, Grafana, Prefect, Telegram, JWT.
_KNOWN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[opsru]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{20,}|[rs]k_(?:live|test)_\w{16,}|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}|dapi[0-9a-f]{32}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|npm_\w{30,}|pypi-[\w-]{30,}|dckr_pat_[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|ATATT[\w=-]{30,}|hv[sb]\.[\w-]{20,}|gls?a_\w{20,}|pn[ub]_\w{20,}|\d{8,10}:[\w-]{35}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"
)
# A private key in PEM, whole or cut short, its lines also as they stand in JSON.
_PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|(?:\s|\\n|[\w+/=:,-])*)",
    re.DOTALL,
)
_IS = r"([\"']?\s*(?:=>|=|:)\s*)"  # between a name and its value, also in JSON
_VALUE = r"(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^\s&,;'\")]+)"  # in quotes it may have spaces
_OF = r"(?:access|refresh|id|auth|session|security|private|api|bearer|hf|hub|github|gitlab|git|tracking|registry"
_OF += r"|secret|job|deploy|bot|user|oauth|csrf|wandb|bearer|personal)"
_NAMED = re.compile(
    r"(?i)\b((?:[\w-]*[_-])?(?:\w*password|passwd|passphrase|pwd|secret|api[_-]?key|access[_-]?key|secret[_-]?key"
    rf"|private[_-]?key|account[_-]?key|auth[_-]?key|{_OF}[_-]?token)|(?:set-)?cookie)" + _IS + _VALUE
)
# A token may also be one that a model writes: those of a credential follow a "=" or have digits, and are long.
_LONG = re.compile(
    r"(?i)\b((?:[\w-]*[_-])?(?:token|sig|signature|credential))"
    r"([\"']?\s*[=:]\s*[\"']?)((?=[^\s&,;'\")]*\d)[\w+/=.~%-]{8,})"
    r"|(?<![\w-])(token)([\"']?=[\"']?|[\"']\s*:\s*[\"'])((?!\d+\b)[\w+/=.~%-]{6,})"
)
_AUTHORIZATION = re.compile(
    r"(?i)\b(authorization[\"']?\s*[=:]\s*[\"']?(?:[a-z]+\s+)?|bearer\s+(?=[\w+/=.~-]*\d)|basic\s+(?-i:(?=[\w+/]*[\dA-Z])))"
    r"([\w+/=.~-]{8,})"
)
_VARIABLE = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|PRIVATE_KEY|AUTH_STRING|_PASS$|_PWD$"
)
_SHORTEST = 6  # a shorter value of a variable is found in ordinary words
_NO_WORD = re.compile(r"(?=.*\d)(?=.*[^\d\W])|(?=.*[^\w\s])")  # letters with digits, or other signs


def masked(text: str) -> str:
    """Return a text without the credentials in it: in addresses, named ones, and values of environment variables."""
    for name, value in os.environ.items():
        if not _VARIABLE.search(name):
            continue
        if len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
        elif len(value) >= 3 and _NO_WORD.match(value):
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    text = _PEM.sub(HIDDEN, text)
    text = _ADDRESS.sub(_without, text)
    text = _KNOWN.sub(HIDDEN, text)
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    text = _NAMED.sub(_without_value, text)
    return _LONG.sub(lambda found: f"{found[1] or found[4]}{found[2] or found[5]}{HIDDEN}", text)


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


def _without_value(match: re.Match[str]) -> str:
    """Return a name and how its value is given, with the quotes that the value had."""
    name, given, value = match.groups()
    quote = value[0] if value[0] in "\"'" and len(value) > 1 else ""
    return f"{name}{given}{quote}{HIDDEN}{quote}"


def _without(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    if scheme.lower() not in _LOCAL and (user := re.match(r"[^/?#@]*:[^/]*@", rest)):  # its password may have ? and #
        rest = rest[user.end() :]
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

"""YAML 1.2, as DVC reads and writes it.

YAML 1.1, which PyYAML reads, takes ``3e-05`` for a text and ``no`` for false: ``dvc exp run -S align.lr=3e-5`` writes
the former.
"""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["YAMLError", "dumps", "loads"]


def loads(text: str) -> Any:
    """Return the content of a YAML text.

    Raises:
        YAMLError: it is not YAML, names a key twice, or nests too deeply.
    """
    try:
        # Not libyaml's parser, which crashes the process where nesting is deep.
        return YAML(typ="safe", pure=True).load(text)
    except RecursionError as error:
        raise YAMLError("it nests too deeply") from error
    except ValueError as error:  # a date or number of the right shape that is none
        raise YAMLError(str(error)) from error


def dumps(content: Any) -> str:
    """Return content as YAML that :func:`loads` and DVC read as the same, in block style and in its order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()

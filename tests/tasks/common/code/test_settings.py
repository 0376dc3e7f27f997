"""An edit of the settings' checks changes no digest; one that may change a value does."""

from __future__ import annotations

import ast
import json
import shutil

import pytest
import yaml

from tasks.common import params
from tasks.common.code.closure import Project
from tasks.common.code.neutral import SETTINGS
from tasks.common.code.normal import digest, reduce
from tasks.common.code.settings import is_bounded_type, plain_types, without_checks
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY.joinpath(*SETTINGS.split("."))
MODULE = '''
from typing import Annotated, Literal
from pydantic import BeforeValidator, Field, model_validator
from tasks.common.params.block import Block

Share = Annotated[float, Field(ge=0, le=1)]
KNOWN = ("a", "b")

def spelled_out(value):
    return "no" if value is False else value

class Sft(Block):
    epochs: Annotated[int, Field(gt=0)]
    voices: list[str] = Field(min_length=1)
    dropout: Share
    precision: Annotated[Literal["no", "bf16"], BeforeValidator(spelled_out)]

    @model_validator(mode="after")
    def _known(self):
        """Names."""
        if extra := set(self.voices) - set(KNOWN):
            raise ValueError(f"unknown: {sorted(extra)}")
        return self
'''


def of(source: str) -> str:
    return digest(without_checks(reduce(ast.parse(source)), plain_types([ast.parse(source)])))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("class Sft(", "class Gap(Block):\n    points: Share\n\nclass Sft("),
        ("    dropout: Share\n", ""),
        ("class Sft(Block):\n", "class Gap(Block):\n    points: Share\n\nclass Sft(Block):\n    gap: Gap\n"),
        ("le=1", "lt=1"),
        ("Field(min_length=1)", "Field(max_length=9)"),
        ("Share = ", "Above0 = Annotated[float, Field(gt=0)]\nShare = "),
        ('raise ValueError(f"unknown', 'raise ValueError(f"expected others than'),
        ("import Block", "import Block, Share"),
        ("    dropout: Share\n", "    dropout: Share | None = None\n"),  # left out is as null written
    ],
)
def test_a_check_or_a_new_setting_changes_no_digest(before, after):
    assert before in MODULE
    assert of(MODULE.replace(before, after)) == of(MODULE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"no" if', '"bf16" if'),
        ("BeforeValidator(spelled_out)", "BeforeValidator(str)"),
        ("    dropout: Share\n", "    dropout: Share = 0.1\n"),
        ("    dropout: Share\n", "    dropout: Annotated[float, Field(strict=False)]\n"),
        ("Field(min_length=1)", "Field(min_length=1, default=KNOWN)"),
        ("        return self", "        return self.model_copy()"),
        ("        return self", "        self.voices.append('c')\n        return self"),
        ("        return self", "        self.voices[0] = 'c'\n        return self"),
        ('mode="after"', 'mode="before"'),
        ("class Sft(Block):\n", "class Sft(Block):\n    model_config = {'strict': False}\n"),
        # A class that is more than a block.
        ("class Sft(Block)", "class Sft(Block, str_to_upper=True)"),
        ("class Sft(Block)", "@upper\nclass Sft(Block)"),
        ("class Sft(Block)", "class Sft(Base)"),
        ("params.block import Block", "params.other import Base as Block"),
        ("import Block", "import Block\nfrom elsewhere import Block"),
        # A type that may convert, or that is not known.
        ("    dropout: Share\n", "    dropout: Decimal\n"),
        ("    dropout: Share\n", "    dropout: 'Decimal'\n"),
        ("    dropout: Share\n", "    dropout: Share | types.Other\n"),
        ("Share = ", "Lower = Annotated[str, BeforeValidator(str)]\nShare = "),
        ("import Annotated, Literal", "import Annotated, Literal\nfrom elsewhere import Share"),
        ("import Annotated, Literal", "import Annotated, Literal\nfrom elsewhere import Field"),
        ("import Annotated, Literal", "import Annotated, Literal\nfrom elsewhere import *"),
        ("import Annotated, Literal", "import Annotated, Literal\nfrom elsewhere import Text as str"),
        # A validator that writes.
        ("        return self", "        setattr(self, 'voices', [])\n        return self"),
        ("        return self", "        object.__setattr__(self, 'voices', [])\n        return self"),
        ("        return self", "        helper(self)\n        return self"),
        ("        return self", "        voices = self.voices\n        voices += ['c']\n        return self"),
        ("        return self", "        voices = self.voices\n        voices.add('c')\n        return self"),
        ("        return self", "        del self.voices\n        return self"),
        ("        return self", "        len = helper\n        len(self)\n        return self"),
        ("        return self\n", "        extra = 1\n"),
        ('KNOWN = ("a",', 'KNOWN = ("c",'),  # another module may read it
    ],
)
def test_what_may_change_a_value_changes_the_digest(before, after):
    assert before in MODULE
    assert of(MODULE.replace(before, after)) != of(MODULE)


def test_a_block_that_changes_a_value_is_no_plain_type():
    block = "from tasks.common.params.block import Block\nclass A(Block):\n    x: {}\nclass B(Block):\n    a: A\n"
    assert {"A", "B"} <= plain_types([ast.parse(block.format("int"))])
    assert not {"A", "B"} & plain_types([ast.parse(block.format("int = 1"))])


def test_a_new_module_of_blocks_reruns_nothing(tmp_path):
    for name in ("model", "tasks"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = Project(tmp_path).closure("tasks.sample")
    folder = tmp_path / FOLDER.relative_to(REPOSITORY)
    (folder / "more.py").write_text(
        "from tasks.common.params.block import Above0, Block\n\nclass More(Block):\n    of: Above0\n"
    )
    text = (folder / "__init__.py").read_text()
    text = text.replace("    gap: Gap\n", "    gap: Gap\n    more: More\n")
    (folder / "__init__.py").write_text(
        text.replace("\n__all__", "\nfrom tasks.common.params.more import More\n\n__all__")
    )
    assert "more: More" in text and "import More" in (folder / "__init__.py").read_text()
    assert Project(tmp_path).closure("tasks.sample") == before


def test_no_named_type_changes_values():
    """A field may be of any named type, so a type that converts must be written at the field itself."""
    types = Project(REPOSITORY).plain_types
    for file in FOLDER.glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Subscript)
                and "Annotated" in ast.unparse(node)
            ):
                assert is_bounded_type(node.value, types), f"{file}: {ast.unparse(node)}"


def test_settings_reach_a_stage_as_params_yaml_has_them():
    """DVC compares what is written there, so no check may turn it into something else."""
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    loaded = params.load(REPOSITORY / "params.yaml").model_dump(by_alias=True)
    for name in ("rate", "pitch"):
        loaded["prepare"]["synthetic"][name] = list(loaded["prepare"]["synthetic"][name])
    assert json.dumps(loaded, sort_keys=True) == json.dumps(content, sort_keys=True)  # 1 and 1.0 differ

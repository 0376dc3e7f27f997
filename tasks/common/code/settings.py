"""The modules of ``params.yaml`` reduced to what can change a value.

A setting reaches a stage through ``params`` in ``dvc.yaml``. What these modules add is checks: blocks are strict, so a
value of the declared type passes as it is, and any other is an error. Only an integer becomes a float of equal value.
So a field of a plain type without a default other than null, its bounds, and a validator that only raises compute
nothing. What is not known to be one of these counts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from tasks.common.code.names import Binding, bindings
from tasks.common.code.neutral import BOUNDS, READING_FUNCTIONS, READING_METHODS, SETTINGS

BUILT_IN = {"bool", "dict", "float", "int", "list", "str", "tuple"}
LIBRARY = {
    "Annotated": "typing.Annotated",
    "Field": "pydantic.Field",
    "Literal": "typing.Literal",
    "model_validator": "pydantic.model_validator",
}
# Statements and expressions of a validator that write, or hide what is written.
WRITING = (
    *(ast.AugAssign, ast.Await, ast.ClassDef, ast.Delete, ast.Global, ast.Import, ast.ImportFrom, ast.Lambda),
    *(ast.Nonlocal, ast.Try, ast.With, ast.Yield, ast.YieldFrom),
)


def plain_types(trees: Iterable[ast.Module]) -> set[str]:
    """Return the names that, wherever these modules of settings bind them, mean a type that changes no value.

    They are types of Python, bounds of these, and blocks made of such types alone. Python's functions that a validator
    may call are among them.
    """
    trees = list(trees)
    bound = bindings(*trees)
    library = {name for name, origin in LIBRARY.items() if all(to == origin for to in bound.get(name, []))}
    types = library | ((BUILT_IN | READING_FUNCTIONS) - bound.keys())
    if "*" in bound:
        return set()
    if not all(_from_settings(to) or isinstance(to, ast.ClassDef) for to in bound.get("Block", [])):
        return types
    defined = {
        name for name, found in bound.items() if any(not isinstance(to, str) for to in found) and name not in LIBRARY
    }
    types |= {name for name in defined if all(_may_be_type(to) or _from_settings(to) for to in bound[name])}
    while changing := {name for name in types & defined if any(_changes(to, types) for to in bound[name])}:
        types -= changing
    return types


def without_checks(tree: ast.Module, types: set[str]) -> ast.Module:
    """Return the module without what only checks settings, and without imports that the rest does not use.

    Args:
        types: :func:`plain_types` of all modules of settings.
    """
    kept: list[ast.stmt] = []
    for node in tree.body:
        if _is_block(node):
            node.body = [part for part in node.body if not _checks(part, types)]  # type: ignore[attr-defined]
            kept += [node] if not _is_empty(node) else []
        elif not (isinstance(node, ast.Assign) and is_bounded_type(node.value, types)):
            kept.append(node)
    used = {inner.id for node in kept for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    for node in kept:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
    tree.body = [node for node in kept if getattr(node, "names", True)]
    return tree


def is_bounded_type(value: Binding, types: set[str]) -> bool:
    """Return whether an expression is ``Annotated[<plain type>, Field(<bounds>)]``."""
    return _may_be_type(value) and isinstance(value, ast.Subscript) and _is_plain(value, types)


def _from_settings(to: Binding) -> bool:
    return isinstance(to, str) and to.startswith(f"{SETTINGS}.")


def _may_be_type(to: Binding) -> bool:
    return _is_block(to) or (isinstance(to, ast.Subscript) and ast.unparse(to.value) == "Annotated")


def _is_block(node: Binding) -> bool:
    if not isinstance(node, ast.ClassDef) or node.decorator_list or node.keywords:
        return False
    return [ast.unparse(base) for base in node.bases] == ["Block"]


def _changes(to: Binding, types: set[str]) -> bool:
    if isinstance(to, ast.ClassDef):
        return not all(_is_empty_part(part) or _checks(part, types) for part in to.body)
    return not (isinstance(to, str) or _is_plain(to, types))


def _is_empty(node: ast.AST) -> bool:
    return all(map(_is_empty_part, getattr(node, "body", [])))


def _is_empty_part(part: ast.stmt) -> bool:
    return isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))


def _checks(part: ast.stmt, types: set[str]) -> bool:
    """Return whether a part of a block is a plain field or a validator that only raises."""
    if isinstance(part, ast.AnnAssign):
        left_out = isinstance(part.value, ast.Constant) and part.value.value is None  # as if null were written
        return _is_plain(part.annotation, types) and (part.value is None or left_out or _is_bound(part.value, types))
    if not isinstance(part, ast.FunctionDef) or "model_validator" not in types:
        return False
    if [ast.unparse(decorator) for decorator in part.decorator_list] != ["model_validator(mode='after')"]:
        return False
    if [one.arg for one in ast.walk(part.args) if isinstance(one, ast.arg)] != ["self"]:
        return False
    local = bindings(*part.body)
    returns_self = isinstance(part.body[-1], ast.Return)
    return returns_self and all(_only_reads(node, local, types) for one in part.body for node in ast.walk(one))


def _is_plain(node: ast.AST, types: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in types
    if isinstance(node, ast.Constant):
        return node.value is None
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr) and _is_plain(node.left, types) and _is_plain(node.right, types)
    if not isinstance(node, ast.Subscript) or not _is_plain(node.value, types):
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    name = ast.unparse(node.value)
    if name == "Literal":
        return all(isinstance(part, ast.Constant) for part in parts)
    if name == "Annotated":
        return _is_plain(parts[0], types) and all(_is_bound(part, types) for part in parts[1:])
    return all(_is_plain(part, types) for part in parts)


def _is_bound(value: ast.expr, types: set[str]) -> bool:
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "Field" and "Field" in types):
        return False
    fixed = all(isinstance(keyword.value, ast.Constant) for keyword in value.keywords)
    return fixed and not value.args and {keyword.arg for keyword in value.keywords} <= BOUNDS


def _only_reads(node: ast.AST, local: dict[str, list[Binding]], types: set[str]) -> bool:
    """Return whether a part of a validator changes no setting: it returns ``self`` and writes to names only."""
    if isinstance(node, (*WRITING, ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    if isinstance(node, ast.Return):
        return ast.unparse(node) == "return self"
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in READING_FUNCTIONS & types
        return (
            isinstance(node.func, ast.Attribute)
            and (ast.unparse(node.func.value) != "self")
            and (node.func.attr in READING_METHODS or (node.func.attr == "add" and _is_own_set(node.func.value, local)))
        )
    is_setting = isinstance(node, (ast.Attribute, ast.Subscript)) or (isinstance(node, ast.Name) and node.id == "self")
    return not is_setting or isinstance(node.ctx, ast.Load)  # type: ignore[attr-defined]


def _is_own_set(node: ast.expr, local: dict[str, list[Binding]]) -> bool:
    """Return whether an expression names a set that the validator itself writes out."""
    return isinstance(node, ast.Name) and all(isinstance(to, ast.Set) for to in local.get(node.id, [node]))

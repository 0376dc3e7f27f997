"""The modules of ``params.yaml`` reduced to what can change a value.

A setting reaches a stage through ``params`` in ``dvc.yaml``. What these modules add is checks: blocks are strict, so a
value of the declared type passes as it is, and any other is an error. Only an integer becomes a float of equal value.
So a field without a default, its bounds, and a validator that only raises compute nothing.
"""

from __future__ import annotations

import ast

from tasks.common.code.neutral import BOUNDS, READING


def without_checks(tree: ast.Module) -> ast.Module:
    """Return the module without what only checks settings, and without imports that the rest does not use."""
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["Block"]:
            node.body = [part for part in node.body if not _checks(part)]
            kept += [node] if node.body and not isinstance(node.body[0], ast.Pass) else []
        elif not (isinstance(node, ast.Assign) and _is_type(node.value)):
            kept.append(node)
    used = {inner.id for node in kept for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    for node in kept:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
    tree.body = [node for node in kept if getattr(node, "names", True)]
    return tree


def _checks(part: ast.stmt) -> bool:
    """Return whether a part of a block is a plain field or a validator that only raises."""
    if isinstance(part, ast.AnnAssign):
        return _only_bounds(part.annotation) and (part.value is None or _is_bound(part.value))
    if not isinstance(part, ast.FunctionDef):
        return False
    if [ast.unparse(decorator) for decorator in part.decorator_list] != ["model_validator(mode='after')"]:
        return False
    return all(_only_reads(node) for node in ast.walk(part))


def _only_reads(node: ast.AST) -> bool:
    """Return whether a part of a validator changes no setting: it returns ``self`` and writes to names only."""
    if isinstance(node, ast.Return):
        return ast.unparse(node) == "return self"
    if isinstance(node, ast.Call):
        return not isinstance(node.func, ast.Attribute) or node.func.attr in READING
    is_setting = isinstance(node, (ast.Attribute, ast.Subscript)) or (isinstance(node, ast.Name) and node.id == "self")
    return not is_setting or isinstance(node.ctx, ast.Load)  # type: ignore[attr-defined]


def _is_type(value: ast.expr) -> bool:
    return isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Annotated" and _only_bounds(value)


def _only_bounds(annotation: ast.expr) -> bool:
    return all(_is_bound(node) for node in ast.walk(annotation) if isinstance(node, ast.Call))


def _is_bound(value: ast.expr) -> bool:
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "Field"):
        return False
    return not value.args and {keyword.arg for keyword in value.keywords} <= BOUNDS

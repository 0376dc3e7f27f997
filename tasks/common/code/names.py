"""What the names of a module may stand for."""

from __future__ import annotations

import ast
from collections import defaultdict

Binding = str | ast.AST  # the dotted name that an import hands on, the value assigned, or else the node that binds
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


def bindings(*trees: ast.AST) -> dict[str, list[Binding]]:
    """Return every name that is bound anywhere in the trees, with all that it is bound to.

    ``*`` is among the names if an import takes all names of a module.
    """
    found: dict[str, list[Binding]] = defaultdict(list)
    assigned: set[int] = set()
    for node in (inner for tree in trees for inner in ast.walk(tree)):  # an assignment comes before its targets
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(node.value)
                    assigned.add(id(target))
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and id(node) not in assigned:
            found[node.id].append(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                found[bound].append(alias.name if alias.asname else bound)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name].append(f"{'.' * node.level}{node.module or ''}.{alias.name}")
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                found[name].append(node)
        elif isinstance(node, ast.arg):
            found[node.arg].append(node)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found[node.rest].append(node)
        elif isinstance(node, NAMED) and node.name:
            found[node.name].append(node)
    return dict(found)


def root(node: ast.AST) -> str | None:
    """Return the name that a chain such as ``name.attribute[0](...)`` starts with."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None

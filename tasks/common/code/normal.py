"""A module's syntax tree reduced to what it computes, and the digest of that.

Gone are comments, positions, docstrings, imports for the type checker, and what ``neutral.py`` names: log lines,
progress bars and calls that write to MLflow. An argument of such a call that does work of its own is kept.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator

from tasks.common.code.neutral import FORMATS, ITERATING, LOGGERS, is_neutral

FOLLOWS_FROM_PLACE = {"ctx", "kind", "type_comment"}  # fields that say nothing about what is computed


def reduce(tree: ast.Module) -> ast.Module:
    """Return the tree without what computes nothing; the tree given is used up."""
    return _Reduction(tree).visit(tree)


def digest(tree: ast.AST) -> str:
    """Return 32 hex digits that change with the tree and are equal on every supported Python."""
    return hashlib.blake2b("".join(_text(tree)).encode(), digest_size=16).hexdigest()


def _text(node: object) -> Iterator[str]:
    """Write a tree as text. Python's own ``ast.dump`` differs between versions."""
    if isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for name in node._fields:
            value = getattr(node, name, None)
            # Absent or empty: a newer Python has fields that an older one lacks.
            if name not in FOLLOWS_FROM_PLACE and value is not None and value != []:
                yield f"{name}="
                yield from _text(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _text(item)
            yield ","
        yield "]"
    else:
        yield f"{type(node).__name__} {node!a}"


class _Reduction(ast.NodeTransformer):
    def __init__(self, tree: ast.Module) -> None:
        self.reporting: set[str] = set(LOGGERS)  # names that, here, stand for something that only reports
        self.assigned = set(_stored(tree))  # anywhere in the module: an import of such a name is not trusted

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return self._without_neutral(node, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return self._without_neutral(node, f"{node.module}.")

    def _without_neutral(self, node: ast.Import | ast.ImportFrom, package: str) -> ast.AST | None:
        neutral = [alias for alias in node.names if is_neutral(package + alias.name)]
        self.reporting |= {alias.asname or alias.name for alias in neutral} - self.assigned
        node.names = [alias for alias in node.names if alias not in neutral]
        return node if node.names else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Let an iteration with a progress bar be the iteration."""
        name = node.func.id if isinstance(node.func, ast.Name) else None
        iterates = name in ITERATING and name in self.reporting and node.args
        return self.visit(node.args[0]) if iterates else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.AST] | None:
        """Drop a docstring or a log line; of a log line, keep the calls that do work."""
        if isinstance(node.value, ast.Constant):
            return None
        if not (isinstance(node.value, ast.Call) and self._reports(node.value)):
            return self.generic_visit(node)
        return [ast.Expr(work) for work in self._work(node.value)]

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.AST]:
        """Unwrap the body of a progress bar or an MLflow run."""
        reporting = [item for item in node.items if self._reports(item.context_expr)]
        names = {name for item in reporting for name in _stored(item)}
        names -= {name for statement in node.body for name in _stored(statement)}  # these also stand for something else
        before, self.reporting = self.reporting, self.reporting | names
        work = [ast.Expr(call) for item in reporting for call in self._work(item.context_expr)]
        node.items = [self.visit(item) for item in node.items if item not in reporting]
        node.body = self._block(node.body)
        self.reporting = before
        return [*work, node] if node.items else [*work, *node.body]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Within the function, its parameters stand for what their annotations say."""
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = {one.arg for one in arguments if one.annotation and _root(one.annotation) in self.reporting}
        shadowed = {one.arg for one in arguments} - names
        before, self.reporting = self.reporting, (self.reporting - shadowed) | names
        self.generic_visit(node)
        self.reporting = before
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST]:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return [statement for part in node.orelse for statement in self._block([part])]
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Join neighboring constants: Python 3.12 divides some f-strings differently than 3.11."""
        self.generic_visit(node)
        values: list[ast.expr] = []
        for value in node.values:
            last = values[-1] if values else None
            if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
                values[-1] = ast.Constant(f"{last.value!s}{value.value!s}")
            elif not (isinstance(value, ast.Constant) and value.value == ""):
                values.append(value)
        node.values = values
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if not isinstance(node, ast.Module) and getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        block = ast.Module(statements, type_ignores=[])
        ast.NodeTransformer.generic_visit(self, block)
        return block.body

    def _reports(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Call):
            return False
        return _root(node) in self.reporting or (isinstance(node.func, ast.Attribute) and node.func.attr == "print")

    def _work(self, call: ast.expr) -> Iterator[ast.expr]:
        """Yield the parts of a log line's arguments that may change something."""
        waiting: list[ast.AST] = list(ast.iter_child_nodes(call))
        while waiting:
            node = waiting.pop(0)
            acts = isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr))
            if acts or (isinstance(node, ast.Call) and not self._formats(node)):
                yield self.visit(node)
            else:
                waiting += ast.iter_child_nodes(node)

    def _formats(self, call: ast.Call) -> bool:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else _root(call)
        return name in FORMATS or _root(call) in self.reporting


def _root(node: ast.AST) -> str | None:
    """Return the name that a chain such as ``name.attribute[0](...)`` starts with."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _stored(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id

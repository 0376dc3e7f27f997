"""A module's syntax tree reduced to what it computes, and the digest of that.

Gone are comments, positions, docstrings, imports for the type checker, and what ``neutral.py`` names: log lines,
progress bars and calls that write to MLflow. An argument of such a call that may do work of its own is kept, and so are
docstrings in a module that reads some. A name counts as what ``neutral.py`` says only if the module binds it to nothing
else anywhere.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator

from tasks.common.code.names import Binding, bindings, root
from tasks.common.code.neutral import FORMATTING, ITERATING, LOGGERS, REDUCING, STREAMS, is_neutral

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


# Expressions that do no work if their parts do none.
PASSIVE = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Dict),
)


class _Reduction(ast.NodeTransformer):
    def __init__(self, tree: ast.Module) -> None:
        self.bound = bindings(tree)
        neutral = {name for name in self.bound if self._only(name, lambda to: isinstance(to, str) and is_neutral(to))}
        loggers = {name for name in LOGGERS if self._only(name, lambda to: self._is_call(to, "logging", "getLogger"))}
        # Names that, here, stand for something that only reports.
        self.reporting = neutral | loggers | (LOGGERS - self.bound.keys())
        if "*" in self.bound:
            self.reporting = set()
        self.consoles = {name for name in self.bound if self._only(name, self._is_console)}
        mentioned = {
            getattr(node, name, None)
            for node in ast.walk(tree)
            for name in ("id", "attr", "name", "value")
            if isinstance(getattr(node, name, None), str)
        }
        self.reads_docstrings = bool(mentioned & {"__doc__", "getdoc"})

    def _only(self, name: str, accepted: Callable[[Binding], bool]) -> bool:
        return name in self.bound and all(accepted(to) for to in self.bound[name])

    def _is(self, name: str, imported: str) -> bool:
        return "*" not in self.bound and self._only(name, lambda to: to == imported)

    def _is_call(self, node: Binding, module: str, function: str) -> bool:
        called = isinstance(node, ast.Call) and ast.unparse(node.func) == f"{module}.{function}"
        return called and self._is(module, module)

    def _is_console(self, node: Binding) -> bool:
        made = isinstance(node, ast.Call) and ast.unparse(node.func) == "Console" and not node.args
        elsewhere = made and any(keyword.arg in ("file", None) for keyword in node.keywords)  # type: ignore[union-attr]
        return made and not elsewhere and self._is("Console", "rich.console.Console")

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return self._without_neutral(node, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return node if node.level else self._without_neutral(node, f"{node.module}.")

    def _without_neutral(self, node: ast.Import | ast.ImportFrom, package: str) -> ast.AST | None:
        node.names = [
            alias
            for alias in node.names
            if not (is_neutral(package + alias.name) and (alias.asname or alias.name) in self.reporting)
        ]
        return node if node.names else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Let an iteration with a progress bar be the iteration, unless another argument does work."""
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name in ITERATING and name in self.reporting and node.args:
            rest = [*node.args[1:], *node.keywords]
            if not isinstance(node.args[0], ast.Starred) and all(map(self._idle, rest)):
                return self.visit(node.args[0])
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.AST] | None:
        """Drop a docstring or a log line; of a log line, keep the arguments that may do work."""
        if isinstance(node.value, ast.Constant):
            return node if self.reads_docstrings else None
        if not (isinstance(node.value, ast.Call) and self._reports(node.value)):
            return self.generic_visit(node)
        return [ast.Expr(work) for work in self._work(node.value)]

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.AST]:
        """Unwrap the body of a progress bar or an MLflow run."""
        reporting = [item for item in node.items if self._reports(item.context_expr)]
        reporting = [item for item in reporting if isinstance(item.optional_vars, (ast.Name, type(None)))]
        names = {item.optional_vars.id for item in reporting if isinstance(item.optional_vars, ast.Name)}
        names -= bindings(*node.body).keys() | self._declared()  # these also stand for something else
        before, self.reporting = self.reporting, self.reporting | names
        work = [ast.Expr(call) for item in reporting for call in self._work(item.context_expr)]
        node.items = [self.visit(item) for item in node.items if item not in reporting]
        node.body = self._block(node.body)
        self.reporting = before
        return [*work, node] if node.items else [*work, *node.body]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Within the function, its parameters stand for what their annotations say."""
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = {one.arg for one in arguments if one.annotation and root(one.annotation) in self.reporting}
        names -= bindings(*node.body).keys() | self._declared()
        shadowed = bindings(node.args).keys() - names
        before, self.reporting = self.reporting, (self.reporting - shadowed) | names
        self.generic_visit(node)
        self.reporting = before
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST]:
        if ast.unparse(node.test) == "TYPE_CHECKING" and self._is("TYPE_CHECKING", "typing.TYPE_CHECKING"):
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

    def _declared(self) -> set[str]:
        """Return the names that another function than the one that binds them may change."""
        return {
            name for name, to in self.bound.items() if any(isinstance(one, (ast.Global, ast.Nonlocal)) for one in to)
        }

    def _reports(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            return "print" in self.reporting and all(map(self._prints_to_stream, node.keywords))
        if isinstance(node.func, ast.Attribute) and node.func.attr == "print":
            of = node.func.value
            if self._is_console(of) or (isinstance(of, ast.Name) and of.id in self.consoles):
                return True
        return root(node) in self.reporting - {"print"}

    def _prints_to_stream(self, keyword: ast.keyword) -> bool:
        to_stream = ast.unparse(keyword.value) in STREAMS and self._is("sys", "sys")
        return keyword.arg in ("sep", "end", "flush") or (keyword.arg == "file" and to_stream)

    def _work(self, call: ast.expr) -> Iterator[ast.expr]:
        """Yield the arguments of a log line that may change something, whole: what they do may depend on all of it."""
        yield from (self.visit(argument) for argument in _arguments(call) if not self._idle(argument))

    def _idle(self, node: ast.AST) -> bool:
        """Return whether evaluating an expression changes nothing. A generator or ``*`` may use up an iterator."""
        if isinstance(node, ast.Call):
            if not (self._reports(node) or self._formats(node)):
                return False
        elif isinstance(node, ast.expr) and not isinstance(node, PASSIVE):
            return False
        return all(map(self._idle, ast.iter_child_nodes(node)))

    def _formats(self, call: ast.Call) -> bool:
        if isinstance(call.func, ast.Attribute):
            reduces = call.func.attr in REDUCING and not (call.args or call.keywords)
            return call.func.attr in FORMATTING or reduces
        name = call.func.id if isinstance(call.func, ast.Name) else None
        of_values = name in ("max", "min") and len(call.args) > 1
        return name not in self.bound and "*" not in self.bound and (name in FORMATTING or of_values)


def _arguments(node: ast.expr) -> list[ast.expr]:
    """Return all arguments and indices in a chain of calls such as ``name(a).method(b)[c](d=e)``."""
    if isinstance(node, ast.Call):
        return [*_arguments(node.func), *node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node, ast.Subscript):
        return [*_arguments(node.value), node.slice]
    return _arguments(node.value) if isinstance(node, ast.Attribute) else []

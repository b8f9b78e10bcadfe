"""Benchmarks are run by hand, and seldom: do they still fit the library that they measure?"""

import ast
import builtins
import importlib
import inspect
import sys
from pathlib import Path

import pytest

from benchmark_cases import NAMES, benchmark_modules, optional


@pytest.fixture(params=NAMES)
def module(request):
    """Each benchmark as it is imported from its own folder."""
    with benchmark_modules():
        with optional(request.param):
            imported = importlib.import_module(request.param)
        yield imported


class Calls(ast.NodeVisitor):
    """Calls in a module of what it, or one of its functions, imports from this package.

    Names that a function gives to something else are not followed: a call through a local
    variable is none of these.
    """

    def __init__(self, module):
        self.scopes, self.found = [dict(vars(module))], []

    def visit_FunctionDef(self, node):
        mine = {arg.arg: None for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                mine[inner.id] = None
            elif isinstance(inner, ast.ImportFrom):
                source = importlib.import_module(inner.module)
                for name in inner.names:
                    # also a check that it is there
                    mine[name.asname or name.name] = getattr(source, name.name)
        self.scopes.append(mine)
        self.generic_visit(node)
        self.scopes.pop()

    visit_Lambda = visit_FunctionDef

    def visit_Attribute(self, node):
        self.generic_visit(node)
        self.resolve(node)

    def visit_Call(self, node):
        self.generic_visit(node)
        function = self.resolve(node.func)
        owner = getattr(function, "__module__", None) or ""
        if callable(function) and owner.split(".")[0] == "mne_mmnet":
            self.found.append((node, function))
        elif isinstance(node.func, ast.Name) and node.func.id == "partial" and node.args:
            function = self.resolve(node.args[0])
            if (getattr(function, "__module__", None) or "").startswith("mne_mmnet"):
                self.found.append((node, function))

    def resolve(self, node):
        """Find what an expression of names and attributes stands for; None if that is unknown."""
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    return scope[node.id]
            return getattr(builtins, node.id, None)
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            # of a module of ours a missing name is an error: the benchmark would end with it
            if inspect.ismodule(owner) and owner.__name__.split(".")[0] == "mne_mmnet":
                return getattr(owner, node.attr)
            return getattr(owner, node.attr, None) if owner is not None else None
        return None


def bind(node, function):
    """Bind the arguments of a call to the signature; TypeError if they do not fit."""
    partial = isinstance(node.func, ast.Name) and node.func.id == "partial"
    positional = node.args[1:] if partial else node.args
    known = [arg for arg in positional if not isinstance(arg, ast.Starred)]
    named = {keyword.arg: None for keyword in node.keywords if keyword.arg is not None}
    open_ended = (
        partial
        or len(known) < len(positional)
        or any(keyword.arg is None for keyword in node.keywords)
    )
    signature = inspect.signature(function)
    (signature.bind_partial if open_ended else signature.bind)(*known, **named)


def test_calls_fit(module):
    """All that a benchmark takes from the package is there, and is called as it is defined."""
    calls = Calls(module)
    with optional(module.__name__):  # some are imported by functions only
        calls.visit(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
    for node, function in calls.found:
        try:
            bind(node, function)
        except TypeError as error:
            pytest.fail(f"{module.__name__}.py:{node.lineno}: {function.__qualname__}: {error}")


def test_misfits_are_noticed():
    """A wrong keyword, a missing argument, a name that is gone: each is an error."""
    library = importlib.import_module("mne_mmnet")
    fine = "import mne_mmnet\ndef f(x):\n    mne_mmnet.fine_tune(x, minutes=1.0, **x)\n"
    for source, n_misfits in (
        (fine, 0),
        (fine.replace("minutes", "hours"), 1),
        (fine.replace("(x, minutes=1.0, **x)", "()"), 1),
    ):
        names = type(sys)("benchmark")
        names.mne_mmnet = library
        calls = Calls(names)
        calls.visit(ast.parse(source))
        ((node, function),) = calls.found
        if n_misfits:
            with pytest.raises(TypeError):
                bind(node, function)
        else:
            bind(node, function)
    for source in ("mne_mmnet.gone()", "remembered = mne_mmnet.gone"):
        with pytest.raises(AttributeError, match="gone"):
            calls.visit(ast.parse(source))
    source = "def f():\n    from mne_mmnet.training.command import read_heads"
    with pytest.raises(AttributeError, match="read_heads"):
        calls.visit(ast.parse(source))

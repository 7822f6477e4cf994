"""Imports that are put off until somebody needs what they bring.

Whoever reads a notebook would wait for them, and hardly anybody uses them. It is for our own
commands, not for a process that only imports imtkit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader, find_spec, spec_from_loader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader

_GRAMMAR = "rfc3987_syntax"


def put_off_grammar() -> None:
    """Have this process build the grammar of IRIs when the first IRI is checked, and not before.

    ``import nbformat`` imports jsonschema, which for that check imports ``rfc3987_syntax``,
    which builds a parser: one to three seconds, more than all the rest that a run imports. No
    notebook is checked for IRIs; who checks one is told what they would be otherwise.
    """
    _put_off(_GRAMMAR)


def put_off_requests() -> None:
    """Have this process load ``requests`` when it is first used: papermill imports it for URLs.

    As with every lazy import, its first use should not be in two threads at a time.
    """
    _put_off("requests")


def _put_off(name: str) -> None:
    is_put_off = any(isinstance(one, _Finder) and one.name == name for one in sys.meta_path)
    if name not in sys.modules and not is_put_off:
        sys.meta_path.insert(0, _Finder(name))


class _Finder:
    """Finds one module, once.

    Python's abstract classes for this would load more than they say.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        real = find_spec(name)
        if real is None or real.loader is None:
            return real
        if name != _GRAMMAR:
            real.loader = LazyLoader(real.loader)
            return real
        later: Any = _Later(real.loader)
        spec = spec_from_loader(name, later, origin=real.origin, is_package=True)
        if spec is not None:
            spec.submodule_search_locations = real.submodule_search_locations
        return spec


class _Later:
    """Gives the grammar's module only the function that is taken from it, until that is called.

    The standard library's lazy loader would load it as soon as the function is taken.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the function in place that loads the rest."""

        @cache
        def loaded() -> ModuleType:
            self._loader.exec_module(module)  # its own functions take the place of ours
            return module

        def is_valid_syntax(term: str, value: str) -> bool:
            return bool(loaded().is_valid_syntax(term, value))

        vars(module)["is_valid_syntax"] = is_valid_syntax

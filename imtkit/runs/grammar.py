"""A grammar that whoever reads a notebook would wait for, and nobody there uses.

``import nbformat`` imports jsonschema, which for its check of IRIs imports ``rfc3987_syntax``,
which builds a parser from a grammar: one to three seconds, more than all the rest that a run
imports. No notebook is checked for IRIs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType

_NAME = "rfc3987_syntax"


def put_off() -> None:
    """Have this process build the grammar when the first IRI is checked, and not before.

    Checks say what they say otherwise too. It is for our own commands, not for a process that
    only imports imtkit.
    """
    if _NAME not in sys.modules and not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the one module, once."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        real = find_spec(name)
        if real is None or real.loader is None:
            return real
        spec = spec_from_loader(name, _Later(real.loader), origin=real.origin, is_package=True)
        if spec is not None:
            spec.submodule_search_locations = real.submodule_search_locations
        return spec


class _Later(Loader):
    """Gives the module only the function that jsonschema takes from it, until that is called."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def exec_module(self, module: ModuleType) -> None:
        """Put the function in place that loads the rest."""

        @cache
        def loaded() -> ModuleType:
            self._loader.exec_module(module)  # its own functions take the place of ours
            return module

        def is_valid_syntax(term: str, value: str) -> bool:
            return bool(loaded().is_valid_syntax(term, value))

        vars(module)["is_valid_syntax"] = is_valid_syntax

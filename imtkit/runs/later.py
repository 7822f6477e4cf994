"""Imports that are put off until somebody needs what they bring.

Whoever reads a notebook would wait for them, and hardly anybody uses them. It is for our own
commands, not for a process that only imports imtkit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader, find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader

_CHECKS = {"rfc3986_validator": "validate_rfc3986", "rfc3987_syntax": "is_valid_syntax"}
"""Modules that hold one check of jsonschema's, and the function that it is."""

_NOT_FOR_PAPERMILL = "boto3"
"""Papermill is told, who is the first to ask, that it is not installed."""


def put_off_checks() -> None:
    """Have this process load what checks URIs and IRIs when the first is checked, and not before.

    ``import nbformat`` imports jsonschema, which imports these. One builds a parser from a
    grammar, which takes one to three seconds, more than all the rest that a run imports; the
    other compiles very long patterns. No notebook is checked for URIs; who checks one is told
    what they would be otherwise.
    """
    for name in _CHECKS:
        _put_off(name)


def put_off_requests() -> None:
    """Have this process load ``requests`` when it is first used: papermill imports it for URLs.

    As with every lazy import, its first use should not be in two threads at a time. For papermill
    there is no ``boto3`` either, which it would import for a notebook at s3://.
    """
    _put_off("requests")
    _put_off(_NOT_FOR_PAPERMILL)


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
        if name == _NOT_FOR_PAPERMILL:
            raise ModuleNotFoundError(f"{name} is not for papermill", name=name)
        real = find_spec(name)
        if real is None or real.loader is None:
            return real
        if name in _CHECKS:
            later: Any = _LaterCheck(real.loader, _CHECKS[name])
            real.loader = later
        else:
            real.loader = LazyLoader(real.loader)
        return real


class _LaterCheck:
    """Gives a module only the function that is taken from it, until that is called.

    The standard library's lazy loader would load it as soon as the function is taken.
    """

    def __init__(self, loader: Loader, function: str) -> None:
        self._loader = loader
        self._function = function

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the function in place that loads the rest."""

        @cache
        def loaded() -> ModuleType:
            self._loader.exec_module(module)  # its own functions take the place of ours
            return module

        def check(*values: Any, **options: Any) -> Any:  # noqa: ANN401 # theirs
            return getattr(loaded(), self._function)(*values, **options)

        vars(module)[self._function] = check

"""What imtkit exports, name by name."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import imtkit

FRONT_DOOR = {
    "Checklist",
    "Desk",
    "Entry",
    "ImtkitError",
    "Incident",
    "JoinedIncident",
    "LiveChecklist",
    "Opening",
    "__version__",
    "join",
    "open_desk",
}
"""What notebooks may rely on. Whoever changes this changes a promise."""

PACKAGES = sorted(m.name for m in walk_packages(imtkit.__path__, "imtkit.") if m.ispkg)


def test_the_front_door_offers_these_names_and_no_others() -> None:
    """``imtkit.__all__`` is the list above, sorted; each name can be had and dir() shows it."""
    assert list(imtkit.__all__) == sorted(FRONT_DOOR)
    for name in FRONT_DOOR:
        assert getattr(imtkit, name) is not None
        assert name in dir(imtkit)


def test_type_checkers_see_the_same_names() -> None:
    """What is imported for type checkers is what is loaded on demand."""
    tree = ast.parse(Path(imtkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    named = {alias.name for node in ast.walk(block) for alias in getattr(node, "names", ())}
    assert named | {"__version__"} == FRONT_DOOR


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typing mistake is told as Python tells it."""
    with pytest.raises(AttributeError, match="module 'imtkit' has no attribute 'jion'"):
        imtkit.jion  # noqa: B018 # to look it up is what fails


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_exists(package: str) -> None:
    """``__all__`` of a room names what is there, sorted, and only public names."""
    module = import_module(package)
    exported = list(getattr(module, "__all__", ()))
    assert exported == sorted(exported)
    for name in exported:
        assert hasattr(module, name), name
        assert not name.startswith("_") or name == "__version__"

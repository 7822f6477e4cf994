"""How the house looks: sizes, docstrings, notebooks without outputs, nothing of one machine."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("imtkit", "runbooks", "templates", "tests", "bench", "docs", ".ci")
TEXT_SUFFIXES = ("", ".py", ".md", ".toml", ".lock", ".ipynb", ".j2", ".css", ".js", ".json")
TEXT_SUFFIXES += (".html", ".yaml", ".yml", ".txt", ".mako", ".sh", ".xml")

MACHINE = re.compile(
    r"(?<![\w.~}])/(?:ro{2}t|wo{1}rk|Use{1}rs/[a-z]+|ho{1}me/[a-z]+)/(?!\.\.\.)", re.IGNORECASE
)
REGISTRY = re.compile(
    r"(?:pypi\.o{1}rg/simple|pythonho{1}sted\.org|registry\.np{1}mjs|registry\.yar{1}npkg|"
    r"--(?:extra-)?ind{1}ex-url|--def{1}ault-index|deb\.deb{1}ian\.org)"
)


def modules() -> list[Path]:
    return sorted((ROOT / "imtkit").rglob("*.py"))


def suites() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def files() -> Iterator[Path]:
    for path in ROOT.iterdir():
        if path.is_file():
            yield path
    for folder in SHIPPED:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("path", suites(), ids=short)
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Each test function has a docstring that states the behaviour."""
    silent = [
        node.name
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_module_is_long() -> None:
    """A module of 500 lines wants to be two."""
    long = {
        short(path): count
        for path in modules()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) >= 500
    }
    assert long == {}


def test_no_function_is_long() -> None:
    """A function of more than 60 lines wants to be two."""
    long = {
        f"{short(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in modules()
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > 60
    }
    assert long == {}


def test_every_lint_ignore_carries_its_reason() -> None:
    """A rule that is set aside, broad handlers among them, says why on the same line.

    ANN401 says it itself: what comes from IPython and Jupyter has no types.
    """
    bare = [
        f"{short(path)}:{number}"
        for folder in ("imtkit", "tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"# no{1}qa(?!: ANN401|: [A-Z]+\d+(?:, [A-Z]+\d+)* +\S+ \S+)", line)
    ]
    assert bare == []


def test_shipped_runbooks_hold_no_outputs() -> None:
    """What a run shows belongs in outputs/, not in the runbook."""
    for path in sorted((ROOT / "runbooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        ran = [
            cell["id"]
            for cell in cells
            if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"])
        ]
        assert ran == [], short(path)


def test_no_file_names_a_registry_or_a_machines_path() -> None:
    """Where packages come from and where somebody's folders lie is not the project's business."""
    found = []
    for path in files():
        if path.suffix not in TEXT_SUFFIXES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            match = MACHINE.search(line) or REGISTRY.search(line)
            if match:
                found.append(f"{short(path)}:{number}: {match[0]}")
    assert found == []


def test_the_changelog_begins_with_this_version() -> None:
    """pyproject.toml and the newest heading of CHANGELOG.md say the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d[^\]\s]*)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == project["version"]

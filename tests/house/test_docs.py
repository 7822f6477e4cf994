"""The docs say what the code does, and are named where they are looked for."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typed import problem_of

from imtkit.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> Callable[[], Mapping[str, str]]:
    """The pages that docs/build.py makes now."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["cli.md", "configuration.md", "log-entries.md", "errors.md"])
def test_pages_made_from_the_code_are_those_that_are_committed(
    pages: Callable[[], Mapping[str, str]], name: str
) -> None:
    """What stands in docs/ is what the code gives; else run: python docs/build.py."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name]


def test_every_page_made_from_the_code_is_tested(
    pages: Callable[[], Mapping[str, str]],
) -> None:
    """The list above names all that docs/build.py makes."""
    assert set(pages()) == {"cli.md", "configuration.md", "log-entries.md", "errors.md"}


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link in README, CONTRIBUTING or docs/ names a file that is there."""
    broken = []
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_what_contributing_names_in_the_code_is_there() -> None:
    """Files exist, but for placeholders; constants and private functions are those of the code."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quoted = set(re.findall(r"`([^`\s]+)`", text))
    paths = {one for one in quoted if re.fullmatch(r"(imtkit|tests|docs|templates)/[\w./]+", one)}
    assert len(paths) > 10
    assert {one for one in paths if "NNNN" not in one and not (ROOT / one).exists()} == set()
    names = {one for one in quoted if re.fullmatch(r"_[a-z_]+|_?[A-Z]{2,}[A-Z_]*", one)}
    code = "".join(
        one.read_text(encoding="utf-8")
        for folder in ("imtkit", "tests")
        for one in (ROOT / folder).rglob("*.py")
    )
    assert names >= {"_READERS", "CANNOT_SIGN"}
    assert {one for one in names if not re.search(rf"^(def )?{one}\b", code, re.M)} == set()


def test_commands_that_the_docs_name_exist() -> None:
    """Whoever types a command from README, CONTRIBUTING or docs/ finds it."""
    unknown = set()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        unknown |= set(re.findall(r"(?:^|`|\./dev )imt ([a-z]+)", text, re.MULTILINE))
    assert unknown <= set(COMMANDS)


def shown_commands() -> list[tuple[str, str]]:
    """Every ``imt …`` line in an indented block of README or docs/, with where it stands."""
    found = []
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r" {4,}(?:\./dev )?imt (.*)", line)
            if match and path.name != "cli.md" and "…" not in line.replace('"…"', ""):
                found.append((path.name, re.sub(r" > .*| +#.*", "", match[1])))
    return found


def test_commands_shown_in_the_docs_can_be_typed() -> None:
    """Each command line of the guides is read by the command line without complaint."""
    shown = shown_commands()
    refused = [f"{page}: imt {line}: {problem_of(f'imt {line}')}" for page, line in shown]
    assert len(shown) > 20
    assert [one for one in refused if not one.endswith(": ")] == []


def offered_commands() -> list[tuple[str, str]]:
    """What the pages' templates offer to be copied, with a word for each value put in."""
    found = []
    for path in (ROOT / "templates" / "web").glob("*.html"):
        for said in re.findall(r"\bcopy\((.+?)\) }}", path.read_text(encoding="utf-8")):
            if said.startswith(("'", '"')):
                parts = re.findall(r"""\s*~?\s*(?:'([^']*)'|"([^"]*)"|([\w.]+))""", said)
                words = "".join(one or other or "VALUE" for one, other, _ in parts)
                found.append((path.name, words))
    return found


def test_commands_that_the_pages_offer_can_be_typed() -> None:
    """What an empty page, or one that says what to do, lets one copy lacks nothing."""
    offered = offered_commands()
    assert ("incidents.html", 'imt incident open --title "What is wrong"') in offered
    assert len(offered) > 6
    assert [(one, problem_of(one[1])) for one in offered if problem_of(one[1])] == []

"""Machines of a team for tests: a workspace each, with its own outputs/, and one log for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from buckets import name_address
from notebook_files import code, write_notebook

from imtkit.kit import Desk, gates, incidents, open_desk
from imtkit.model.copies import SENT
from imtkit.model.incident import Run

ROOT = Path(__file__).resolve().parents[1]
ASKS = [
    code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
    code("first", "print('the first half')\nfor n in range(2000): print(n)"),
    code("keep", "inc.evidence('A list', 'one, two, three')"),
    code("gate", "inc.gate('Go on?')"),
    code("second", "print('the', 'second', 'half')"),
]
FAILS = [
    code("first", "print('the first half')"),
    code("second", "assert False, 'no'"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Makes machines: a workspace each, with its own outputs/, and one log for all."""
    with ExitStack() as opened:

        def make(name: str, address: str, *, url: str = "", log: str = "") -> Desk:
            root = tmp_path / name
            (root / "outputs").mkdir(parents=True)
            text = (ROOT / "templates" / "imt.toml").read_text(encoding="utf-8")
            log = log or f"sqlite:///{tmp_path}/imt.db"
            text = text.replace("sqlite:///outputs/imt.db", log)
            (root / "imt.toml").write_text(text, encoding="utf-8")
            name_address(root, address, url=url)
            write_notebook(root / "runbooks" / "asks.ipynb", ASKS)
            write_notebook(root / "runbooks" / "fails.ipynb", FAILS)
            return opened.enter_context(open_desk(root, actor=f"{name.title()} Example"))

        yield make


@pytest.fixture
def ann(machine: Callable[..., Desk], tmp_path: Path) -> Desk:
    """Ann Example at a machine that sends its outputs to the folder ``shared``."""
    return machine("ann", f"file://{tmp_path}/shared")


@pytest.fixture
def bob(machine: Callable[..., Desk], tmp_path: Path) -> Desk:
    """Bob Example at another machine, which sends to the same folder."""
    return machine("bob", f"file://{tmp_path}/shared")


def answered(desk: Desk, run: Run) -> None:
    """Somebody says yes to what a run asks."""
    [gate] = incidents.get(desk, run.incident).waiting_gates
    gates.answer(desk, run.incident, gate.id, gate.answers[0])


def notebook(desk: Desk, run: Run) -> str:
    """A run's notebook as this machine has it."""
    return (desk.settings.root / run.output_path).read_text(encoding="utf-8")


def sent(desk: Desk, run: Run) -> list[int]:
    """As of which attempts a run's notebook was sent."""
    entries = incidents.get(desk, run.incident).entries
    return [entry.data["attempt"] for entry in entries if entry.type == SENT]

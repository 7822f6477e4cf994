"""Gates and changes in the record and on a page: plain text with who, when, what."""

from __future__ import annotations

import re

import pytest
from record_examples import ID, Log, code, notebook, shown

from imtkit.model.gates import MIME_TYPE
from imtkit.record.index import Contents, index_html
from imtkit.record.notebook import mended
from imtkit.record.seal import seal

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def log() -> Log:
    """A gate that was answered, and a change that failed."""
    made = Log()
    made.add("incident.opened", {"title": "Orders fail", "severity": "sev2"})
    asked = {"gate": "g", "question": f"Fail over? {HOSTILE}", "answers": ["yes", "no"]}
    made.add("gate.opened", {**asked, "who": ["commander"]}, actor="automation/alerts")
    made.add("gate.answered", {"gate": "g", "answer": "yes", "reason": "lag is 0"})
    plan = {"why": "it is down", "do": "promote", "verify": "it writes", "rollback": "demote it"}
    made.add("change.asked", {"change": "c", "title": "Promote", **plan}, actor="Bo")
    made.add("change.approved", {"change": "c"})
    made.add("change.begun", {"change": "c"}, actor="Bo")
    made.add("change.failed", {"change": "c", "error": "no route"}, actor="Bo")
    return made


def sealed(log: Log, about: object) -> str:
    """What a displayed gate becomes in the record."""
    data = {MIME_TYPE: about, "text/html": "<button>yes</button> waiting"}
    node = mended(notebook(code("a", "x", shown(data))))
    seal(node, log.incident)
    return str(node["cells"][0]["outputs"][0]["data"]["text/html"])


def test_a_gate_is_drawn_as_the_log_has_it_now(log: Log) -> None:
    """The answer, by whom, when, through what and why; never what was stored at display time."""
    html = sealed(log, {"incident": ID, "gate": "g"})
    assert "answered: yes" in html
    assert "yes, by Ada Lovelace, 2026-11-21 20:18:06 UTC, lab" in html
    assert "lag is 0" in html
    assert "commander" in html
    assert "<button>" not in html
    assert "<script>" not in html


def test_a_change_is_drawn_with_its_plan_and_its_end(log: Log) -> None:
    """Who asked, who approved, what failed, and the rollback."""
    html = sealed(log, {"incident": ID, "gate": "c"})
    for said in ("Change: Promote", "failed", "Bo, 2026", "approve, by Ada Lovelace", "no route"):
        assert said in html
    assert "demote it" in html


def test_a_gate_nobody_knows_is_said_to_be_unknown(log: Log) -> None:
    """So is one of another incident; what the notebook claims is not believed."""
    for about in ({"incident": ID, "gate": HOSTILE}, {"gate": None}, "g", None):
        html = sealed(log, about)
        assert "has no gate" in html
        assert "<script>" not in html
    assert "A gate of INC-1999-0001" in sealed(log, {"incident": "INC-1999-0001", "gate": "g"})


def test_the_index_lists_gates_and_changes(log: Log) -> None:
    """In the order in which they were asked, each with its facts; without any, no section."""
    html = index_html(log.incident, Contents())
    assert '<a href="#gates">Gates and changes</a>' in html
    section = html[html.index('<section class="rec-section" id="gates"') :]
    words = re.sub(r"<[^>]+>", " ", section[: section.index("</section>")])
    assert words.index("Fail over?") < words.index("Change: Promote")
    for said in ("answered: yes", "lag is 0", "Rollback", "demote it", "failed, 2026-11-21"):
        assert said in words
    assert HOSTILE not in html
    assert 'id="gates"' not in index_html(Log().incident, Contents())

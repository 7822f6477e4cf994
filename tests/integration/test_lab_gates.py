"""Gates through the server extension: who may ask and answer, and what errors say."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests
from labs import Lab, a_workspace, running_lab
from labs import anns_desk as desk

from imtkit.kit import Desk, changes, gates, incidents
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model.entries import utc_text
from imtkit.model.opening import Opening

__all__ = ["desk"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server whose login is a mere token; the machine knows Ada Lovelace."""
    workspace = a_workspace(tmp_path_factory.mktemp("workspace"))
    with running_lab(workspace, person="Ada Lovelace") as started:
        yield started


@pytest.fixture
def incident_id(desk: Desk) -> str:
    """A new incident."""
    return incidents.open_(desk, Opening("Checkout answers 502")).id


@pytest.fixture
def place(desk: Desk, incident_id: str) -> str:
    """The address of a gate that waits for anybody."""
    gate = gates.open_(desk, incident_id, Question("Fail over?"))
    return f"incidents/{incident_id}/gates/{gate.id}"


def test_an_answer_is_recorded_with_who_and_through_what(lab: Lab, place: str) -> None:
    """Before it the gate waits; afterwards it tells who, when, what and why."""
    before = lab.get(place).json()
    assert (before["state"], before["person"], before["refusal"]) == ("waiting", "Ada Lovelace", "")
    assert before["answers"] == ["yes", "no"]
    after = lab.post(place, {"answer": "yes", "reason": "lag is 0"}).json()
    assert (after["state"], after["answer"], after["by"]) == ("answered", "yes", "Ada Lovelace")
    assert after["at"].endswith("Z")
    assert ["Because", "lag is 0"] in after["facts"]
    assert lab.get(place).json() | {"now": ""} == after | {"now": ""}


def test_only_people_with_a_login_are_answered(lab: Lab, place: str) -> None:
    """Neither question nor answer is anybody's else."""
    address = f"{lab.url}imtkit/api/{place}"
    assert requests.get(address, timeout=30).status_code == 403
    assert requests.post(address, json={"answer": "yes"}, timeout=30).status_code == 403
    assert lab.get(place).json()["state"] == "waiting"


@pytest.mark.parametrize(
    ("more", "body", "status", "word"),
    [
        ("", {"answer": "maybe"}, 400, "is no answer"),
        ("", {"answer": 1}, 400, "An answer is a text"),
        ("", {"answer": "yes", "reason": "x" * 2001}, 400, "2000 characters"),
        ("", ["yes"], 400, "JSON object"),
        ("", {"answer": "yes", "not_after": "past"}, 409, "too late"),
        ("x", {"answer": "yes"}, 404, "fail-overx"),
    ],
)
def test_errors_say_what_and_nothing_is_recorded(
    lab: Lab, place: str, more: str, body: object, status: int, word: str
) -> None:
    """Each kind of error has its status and a message."""
    if isinstance(body, dict) and "not_after" in body:
        body["not_after"] = utc_text(datetime.now(UTC) - timedelta(seconds=1))
    answer = lab.post(place + more, body)
    assert answer.status_code == status
    assert word in answer.json()["message"]
    assert lab.get(place).json()["state"] == "waiting"


def test_who_may_not_answer_is_told_why(lab: Lab, desk: Desk, incident_id: str) -> None:
    """Before trying, and when trying all the same; a change is not approved by its asker."""
    asked = Question("Fail over?", who=("commander",))
    gate = gates.open_(desk, incident_id, asked)
    place = f"incidents/{incident_id}/gates/{gate.id}"
    assert "commander may" in lab.get(place).json()["refusal"]
    assert lab.post(place, {"answer": "yes"}).status_code == 403
    plan = Plan("Promote", "down", "promote it", "it writes", "demote it")
    ada = desk.acting_as("Ada Lovelace")
    change = changes.ask(ada, incident_id, plan, Question(plan.title))
    place = f"incidents/{incident_id}/gates/{change.id}"
    assert "asked for this change" in lab.get(place).json()["refusal"]
    refused = lab.post(place, {"answer": "approve"})
    assert (refused.status_code, refused.json()["hint"]) == (403, "Somebody else approves it.")


def test_of_many_answers_at_once_one_counts(lab: Lab, desk: Desk, place: str) -> None:
    """The others are told whose it was; in the log there is one."""

    def answer(n: int) -> int:
        return lab.post(place, {"answer": ("yes", "no")[n % 2]}).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(answer, range(8)))
    # The same answer by the same person again is no contradiction.
    assert sorted(codes) == [200] * 4 + [409] * 4
    entries = desk.store.entries(place.split("/")[1])
    assert sum(entry.type == "gate.answered" for entry in entries) == 1


def test_an_expired_gate_says_so(lab: Lab, desk: Desk, incident_id: str) -> None:
    """Reading it writes that down; an answer is refused."""
    within = timedelta(milliseconds=1)
    gate = gates.open_(desk, incident_id, Question("Quick?", within=within))
    place = f"incidents/{incident_id}/gates/{gate.id}"
    assert lab.get(place).json()["state"] == "expired"
    late = lab.post(place, {"answer": "yes"})
    assert late.status_code == 409
    assert "expired" in late.json()["message"]

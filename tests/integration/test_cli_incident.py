"""Incidents from the terminal, in a workspace with its own log."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import pytest
from terminal import IMT, Called, Imt, imt_on_terminal, imt_process

from imtkit.kit import evidence, open_desk


def opened(imt: Imt, *more: str) -> str:
    """The id of a new incident."""
    return str(imt("incident", "open", "--title", "Checkout fails", *more, "--json").json["id"])


def test_opening_proposes_the_severity_and_says_why(imt: Imt) -> None:
    """A measure beyond a threshold gives the severity, and its grounds are told."""
    done = imt("incident", "open", "--title", "Checkout fails", "--measure", "error_rate=0.3")
    assert done.code == 0
    assert done.out.startswith("INC-")
    assert "opened, sev1: error_rate 0.3 >= 25%" in done.out
    assert done.err == ""


def test_what_a_person_says_wins_over_what_was_measured(imt: Imt) -> None:
    """A severity that was given stands; what the measures ask for is told beside it."""
    done = imt(
        *("incident", "open", "--title", "x", "--severity", "SEV3", "--measure", "error_rate=30%")
    )
    assert "opened, sev3; measured sev1: error_rate 0.3 >= 25%" in done.out


def test_an_incident_goes_its_way_to_the_archive(imt: Imt, workspace: Path) -> None:
    """Opened, acknowledged, mitigated, resolved, closed with its record, reopened."""
    id_ = opened(imt, "--service", "orders", "--tag", "checkout")
    for verb, more, status in (
        ("ack", (), "acknowledged"),
        ("mitigate", ("--reason", "traffic moved"), "mitigated"),
        ("resolve", ("--resolution", "rolled back"), "resolved"),
        ("close", ("--cause", "a lost index"), "closed"),
    ):
        done = imt("incident", verb, id_.lower(), *more, "--json")
        assert done.code == 0, done.err
        assert done.json["status"] == status
    assert (workspace / "outputs" / id_ / "record" / "index.html").is_file()
    assert imt("record", "verify", id_).code == 0
    assert imt("record", "open", id_).out.strip().endswith("index.html")
    assert imt("incident", "review", id_, "--reason", "held").code == 0
    again = imt("incident", "reopen", id_, "--reason", "errors are back", "--json").json
    assert (again["status"], again["closed_at"], again["reopened"]) == ("acknowledged", None, 1)


def test_closing_without_what_is_owed_is_refused_and_changes_nothing(imt: Imt) -> None:
    """The error names the missing field and the command that gives it; its exit code is 5."""
    id_ = opened(imt)
    refused = imt("incident", "resolve", id_, "--json")
    assert refused.code == 5
    assert refused.out == ""
    assert refused.error["type"] == "MissingFieldsError"
    assert refused.error["missing"] == ["resolution"]
    assert f"imt incident set {id_} resolution=" in refused.error["hint"]
    assert imt("incident", "show", id_, "--json").json["status"] == "open"


def test_on_a_terminal_what_is_owed_is_asked_for(workspace: Path, imt: Imt) -> None:
    """Somebody who sits there is asked, and the answer is stored with the change."""
    id_ = opened(imt)
    code, shown = imt_on_terminal(
        ["incident", "resolve", id_], cwd=workspace, answers={"Resolution:": "rolled back to v41"}
    )
    assert code == 0, shown
    assert f"{id_} is resolved." in shown
    assert imt("incident", "show", id_, "--json").json["fields"] == {
        "resolution": "rolled back to v41"
    }


def test_notes_decisions_fields_roles_and_ticks_are_written_down(imt: Imt) -> None:
    """Each verb writes to the log, and the page shows it."""
    id_ = opened(imt)
    assert imt("incident", "note", id_, "the", "queue", "drains", "--at", "5m").code == 0
    imt("incident", "decide", id_, "Roll", "back", "--reason", "errors began with v42")
    imt("incident", "set", id_, "severity=sev2", "services=orders,payments", "cause=unknown")
    imt("incident", "assign", id_, "commander", "Ada Example", "--actor", "Bob Example")
    page = imt("incident", "show", id_).out
    for said in ("the queue drains", "Roll back", "because errors began with v42", "Ada Example"):
        assert said in page
    found = imt("incident", "show", id_, "--json").json
    assert found["severity"] == "sev2"
    assert found["services"] == ["orders", "payments"]
    assert found["roles"] == {"commander": "Ada Example"}
    assert found["timeline"][-1]["actor"] == "Bob Example"


def test_bytes_that_are_no_text_are_kept_visibly(imt: Imt, workspace: Path) -> None:
    """A note from stdin is never refused for its encoding: bad bytes show as numbers."""
    id_ = opened(imt)
    for locale in ({"PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}):
        done = subprocess.run(
            [*IMT, "incident", "note", id_, "-", "--json"],
            cwd=workspace,
            input=b"log: \xff\xfe caf\xc3\xa9\n",
            capture_output=True,
            check=False,
            env={**os.environ, **locale},
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["data"]["text"] == "log: \\xff\\xfe café"


def test_a_note_can_come_from_a_pipe(imt: Imt, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads stdin; nothing in it is nothing to note."""
    id_ = opened(imt)
    monkeypatch.setattr("sys.stdin", io.StringIO("line one\nline two\n"))
    assert imt("incident", "note", id_, "-", "--json").json["data"]["text"] == "line one\nline two"
    monkeypatch.setattr("sys.stdin", io.StringIO("  \n"))
    assert imt("incident", "note", id_, "-").code == 2


def test_items_are_ticked_and_taken_back(imt: Imt, workspace: Path) -> None:
    """An unknown item is named with its nearest; then none of those given is ticked."""
    from imtkit.kit import checklists, open_desk
    from imtkit.model.checklist import checklist_of

    id_ = opened(imt)
    with open_desk(workspace) as desk:
        checklists.show(desk, id_, checklist_of("first", ["Read the logs", "Tell support"]))
    done = imt("incident", "tick", id_, "first", "read-the-logs", "Tell support")
    assert "2 of 2 done" in done.out
    assert "1 of 2 done" in imt("incident", "tick", id_, "first", "tell-support", "--undo").out
    wrong = imt("incident", "tick", id_, "first", "tell-support", "read-teh-logs")
    assert wrong.code == 3
    assert "read-the-logs" in wrong.err
    assert "1 of 2 done" in imt("incident", "tick", id_, "first", "read-the-logs").out


def test_people_are_asked_and_say_when_they_are_done(imt: Imt) -> None:
    """A task has an id, a person and perhaps a time; done twice is once."""
    id_ = opened(imt)
    task = imt(
        *("incident", "ask", id_, "Bob Example", "Call", "the", "bank", "--within", "10m", "--json")
    ).json
    assert (task["text"], task["assignee"]) == ("Call the bank", "Bob Example")
    assert task["due_at"] > task["asked_at"]
    for _ in range(2):
        assert imt("incident", "done", id_, task["id"]).out == "Done: Call the bank\n"
    assert imt("incident", "done", id_, "nothing").code == 3
    assert imt("incident", "ask", id_, "Bob", "x", "--within", "soon").code == 2


def test_measurements_raise_the_severity_and_never_lower_it(imt: Imt) -> None:
    """The grounds are told; numbers below every threshold change nothing."""
    id_ = opened(imt)
    assert "is sev2: error_rate 0.12 >= 5%" in imt("incident", "measure", id_, "error_rate=12%").out
    assert "is sev2: no threshold is reached" in imt("incident", "measure", id_, "error_rate=0").out


def test_what_was_wrong_is_corrected_or_withdrawn_and_stays_readable(imt: Imt) -> None:
    """A correction is a new entry that says why; roles can be taken back."""
    id_ = opened(imt)
    imt("incident", "note", id_, "It is the cache")
    imt("incident", "note", id_, "About another incident")
    assert (
        imt("incident", "correct", id_, "2", "text=It is the index", "--reason", "looked").code == 0
    )
    assert imt("incident", "withdraw", id_, "3", "--reason", "the wrong incident").code == 0
    imt("incident", "assign", id_, "scribe", "Bob Example")
    assert imt("incident", "release", id_, "scribe", "--json").json["roles"] == {}
    page = imt("incident", "show", id_).out
    for said in ("It is the cache (see entry 4)", "It is the index", "the wrong incident"):
        assert said in page
    assert imt("incident", "withdraw", id_, "99", "--reason", "x").code == 3


def test_whoever_is_nobody_known_is_asked_once(workspace: Path) -> None:
    """At a terminal the name is asked for when something is written, and remembered."""
    words = ["incident", "open", "--title", "x"]
    question = "Your name, as the log shall know it:"
    code, shown = imt_on_terminal(words, cwd=workspace, answers={question: "Cleo Example"})
    assert code == 0, shown
    code, shown = imt_on_terminal(words, cwd=workspace, answers={})
    assert code == 0, shown
    assert question not in shown
    found = imt_process("incident", "show", "INC-2026-0002", "--json", cwd=workspace).json
    assert found["opened_by"] == "Cleo Example"


def test_the_list_is_newest_first_and_can_be_narrowed(imt: Imt) -> None:
    """Every incident by default; --open leaves out what is over, filters the rest."""
    first, second = opened(imt, "--service", "orders"), opened(imt, "--mode", "drill")
    imt("incident", "resolve", first, "--resolution", "done")
    assert [row["id"] for row in imt("incident", "list", "--json").json] == [second, first]
    assert [row["id"] for row in imt("incident", "list", "--open", "--json").json] == [second]
    found = imt("incident", "list", "--status", "resolved", "--service", "orders").out
    assert first in found
    assert second not in found
    assert "[drill] Checkout fails" in imt("incident", "list", "--mode", "drill").out
    assert imt("incident", "list", "--search", "checkOUT", "--limit", "1").out.count("INC-") == 1


def test_an_empty_list_says_so_and_what_to_do(imt: Imt) -> None:
    """Nothing on stdout, words on stderr; as JSON an empty list."""
    done = imt("incident", "list")
    assert (done.code, done.out) == (0, "")
    assert "imt incident open" in done.err
    assert imt("incident", "list", "--json").json == []


def test_mistyped_names_are_answered_with_the_nearest(imt: Imt) -> None:
    """Unknown incident, severity, status and command: each names what, and the next step."""
    id_ = opened(imt)
    missing = imt("incident", "show", "INC-1999-0001")
    assert (missing.code, missing.out) == (3, "")
    assert "INC-1999-0001" in missing.err
    assert id_ in missing.err
    wrong = imt("incident", "open", "--title", "x", "--severity", "sevv1", "--json")
    assert wrong.code == 3
    assert wrong.error["hint"] == "Did you mean 'sev1'?"
    assert imt("incident", "list", "--severity", "major").code == 3
    assert imt("incident", "list", "--status", "opne").code == 2
    assert "Did you mean" in imt("incidnet", "list").err
    assert imt("incident", "ack", id_).code == 0
    again = imt("incident", "ack", id_)
    assert again.code == 5
    assert "cannot be acknowledged" in again.err


def test_ids_complete_in_shells(imt: Imt, workspace: Path) -> None:
    """The shell is offered the incidents that are there; without a workspace, none."""
    id_ = opened(imt)
    environment = {
        "_IMT_COMPLETE": "bash_complete",
        "COMP_WORDS": "imt incident show INC",
        "COMP_CWORD": "3",
    }
    done = imt_process(cwd=workspace, environment=environment)
    assert done.out.strip() == f"plain,{id_}"
    elsewhere = imt_process(cwd=Path("/"), environment=environment)
    assert (elsewhere.out.strip(), elsewhere.err) == ("", "")


def test_json_is_one_document_whatever_is_asked(imt: Imt) -> None:
    """Every command that prints gives one JSON document on stdout with --json."""
    id_ = opened(imt)

    def is_document(done: Called) -> None:
        assert done.code == 0, done.err
        json.loads(done.out)

    for words in (
        ("incident", "list"),
        ("incident", "show", id_),
        ("incident", "note", id_, "x"),
        ("runbook", "list"),
        ("runbook", "show", "http-service"),
        ("runbook", "lint", "http-service"),
        ("status", "post", id_, "-s", "investigating", "-m", "We look into it."),
        ("status", "show"),
        ("status", "build"),
        ("status", "deliver", id_),
        ("record", "build", id_),
        ("record", "verify", id_),
        ("store", "verify"),
        ("store", "heads"),
        ("store", "rebuild"),
        ("store", "migrate"),
    ):
        is_document(imt(*words, "--json"))
        is_document(imt("--json", *words))


def test_a_posted_update_says_where_it_can_be_read(imt: Imt, workspace: Path) -> None:
    """The embedded page's file, wherever one stands; nothing where it reached no page."""
    id_ = opened(imt)
    done = imt("status", "post", id_, "-s", "investigating", "-m", "We look into it.")
    said, _, path = done.out.rstrip().rpartition(". ")
    assert said == "'investigating' for the page embedded: published"
    assert id_ in Path(path).read_text()
    practice = imt("incident", "open", "--title", "Practice", "--mode", "drill", "--json").json[
        "id"
    ]
    done = imt("status", "post", practice, "-s", "investigating", "-m", "We look into it.")
    assert done.out.endswith("withheld. Only live incidents reach a page.\n")


def test_a_log_of_one_entry_is_told_as_one(imt: Imt) -> None:
    """Verified and counted anew, in words."""
    assert imt("store", "verify").out == "0 entries in 0 chains are what was stored.\n"
    opened(imt)
    assert "1 entry in 1 chain is what was stored." in imt("store", "verify").out
    assert "The lists hold 1 incident, computed" in imt("store", "rebuild").out


def test_what_a_record_lacks_is_said_where_it_is_built(imt: Imt, workspace: Path) -> None:
    """Closing and building say the record's problems on stderr, and in JSON."""
    id_ = opened(imt)
    with open_desk(workspace, actor="Ann Example") as desk:
        kept = evidence.keep(desk, id_, "found", b"all", name="found.txt", media_type="text/plain")
    (workspace / "outputs" / id_ / kept.path).write_text("less")
    for verb, *more in (("ack",), ("mitigate",), ("resolve", "--resolution", "x")):
        done = imt("incident", verb, id_, *more)
        assert done.code == 0, done.err
    said = (
        "Evidence 'found' cannot be relied on: its file is not what was kept "
        "(its SHA-256 begins 4fdd3b6201a2)."
    )
    closed = imt("incident", "close", id_, "--cause", "y", "--json")
    assert closed.json["record_problems"] == [said]
    assert said in closed.err
    built = imt("record", "build", id_)
    assert built.out.strip().endswith("index.html")
    assert built.err.strip() == said
    assert imt("record", "build", id_, "--json").json["problems"] == [said]


def test_verifying_says_what_the_log_has_since(imt: Imt) -> None:
    """A record that the log outgrew is whole; that it may be built again is information."""
    id_ = opened(imt)
    imt("record", "build", id_)
    imt("record", "build", id_)
    done = imt("record", "verify", id_, "--json")
    assert (done.code, done.json["entries_since"], done.err) == (0, 0, "")
    for count, words in ((1, "1 entry"), (2, "2 entries")):
        imt("incident", "note", id_, "more")
        done = imt("record", "verify", id_.lower())
        assert done.code == 0
        assert done.out.strip().endswith("is what was built.")
        assert done.err.strip() == (
            f"The log has {words} since; build it again: imt record build {id_}"
        )
        assert imt("record", "verify", id_, "--json").json["entries_since"] == count


def test_a_measure_that_no_severity_looks_at_names_the_nearest(imt: Imt, workspace: Path) -> None:
    """A slip in a measure's name is taken as given, and told."""
    opened = imt("incident", "open", "--title", "Slow", "--measure", "error_rat=0.3")
    assert opened.code == 0, opened.err
    assert "No severity looks at 'error_rat'. Did you mean 'error_rate'?" in opened.err

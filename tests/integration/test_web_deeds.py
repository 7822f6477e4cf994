"""What people do from the pages: take in hand, write, tick, cancel; twice is once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message
from web_server import RUN, TOKEN, Web, ann, browser, busy_incident, csrf_of, post, serve, web

from imtkit.kit import Desk, checklists, incidents
from imtkit.model.checklist import checklist_of
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening
from imtkit.store.bell import open_bell
from imtkit.web import astray

__all__ = ["ann", "serve", "web"]

QUEUED = "20261121T202000Z-abcdef"


@pytest.fixture
def incident(ann: Desk) -> Incident:
    """An incident that nobody has in hand."""
    return incidents.open_(ann, Opening("Search is slow", severity="sev2"))


def do(session: requests.Session, web: Web, path: str, **said: str) -> requests.Response:
    """Post a form of ours, with the CSRF token of a page."""
    return post(session, web, path, {"csrf": csrf_of(session, web, "/login"), **said})


def types(desk: Desk, incident_id: str) -> list[str]:
    """The types of an incident's entries."""
    return [entry.type for entry in incidents.get(desk, incident_id).entries]


# Taking in hand, and on.


def test_an_incident_is_acknowledged_once_by_one_person(web: Web, ann: Desk, incident: Incident):
    """The click is told as recorded, once; who comes second hears who was first."""
    path = f"/incidents/{incident.id}/moves/acknowledge"
    cleo = browser(web, "Cleo Clark")
    assert (
        'aria-label="What may become of it"' in cleo.get(f"{web.url}/incidents/{incident.id}").text
    )
    for _ in range(2):
        done = do(cleo, web, path)
        assert done.status_code == 200
        assert "<strong>Recorded:</strong> <bdi>Acknowledged</bdi>, by <bdi>Cleo Clark" in done.text
    assert types(ann, incident.id).count("incident.acknowledged") == 1
    assert incidents.get(ann, incident.id).owner == "Cleo Clark"
    second = do(browser(web, "Dora Doe"), web, path)
    assert second.status_code == 409
    assert "Not recorded." in second.text
    assert "was acknowledged already, by Cleo Clark" in second.text


def test_it_is_moved_on_with_what_is_owed_and_opened_again(web: Web, ann: Desk, incident: Incident):
    """Resolving asks for what the workspace requires; without it nothing is recorded."""
    cleo, stem = browser(web, "Cleo Clark"), f"/incidents/{incident.id}/moves"
    assert do(cleo, web, f"{stem}/mitigate", reason="traffic is <b>drained</b>").ok
    short = do(cleo, web, f"{stem}/resolve", reason="looked at it")
    assert short.status_code == 409
    assert "Still owed: resolution" in short.text
    assert 'value="looked at it"' in short.text, "what was typed stays"
    assert '<details class="move" id="move-resolve" open' in short.text
    done = do(cleo, web, f"{stem}/resolve", **{"field-resolution": "Failed over"})
    assert "Resolved, service is restored" in done.text
    found = incidents.get(ann, incident.id)
    assert (found.status, found.fields["resolution"]) == ("resolved", "Failed over")
    assert "<b>drained" not in done.text
    assert do(cleo, web, f"{stem}/reopen").status_code == 400
    assert do(cleo, web, f"{stem}/reopen", reason="slow again").ok
    assert incidents.get(ann, incident.id).reopened == 1
    assert do(cleo, web, f"{stem}/close").status_code == 404, "closing is work at a desk"


# Notes.


def test_a_note_is_written_once_however_often_its_form_is_sent(
    web: Web, ann: Desk, incident: Incident
):
    """The form's nonce makes it one; other words in the same form are another note."""
    cleo = browser(web, "Cleo Clark")
    page = cleo.get(f"{web.url}/incidents/{incident.id}").text
    nonce = re.search(r'name="nonce" value="([^"]+)"', page)
    assert nonce
    path = f"/incidents/{incident.id}/notes"
    for _ in range(2):
        done = do(cleo, web, path, nonce=nonce[1], text="The lock\r\nis on <orders>.")
        assert "<strong>Recorded:</strong>" in done.text
    assert do(cleo, web, path, nonce=nonce[1], text="It is gone.").ok
    notes = [e for e in incidents.get(ann, incident.id).entries if e.type == "note.added"]
    assert [e.data["text"] for e in notes] == ["The lock\nis on <orders>.", "It is gone."]
    assert {(e.actor, e.source) for e in notes} == {("Cleo Clark", "web, self-named")}


def test_a_note_that_will_not_do_is_told_and_stays_in_its_field(
    web: Web, ann: Desk, incident: Incident
):
    """Empty, too long, or by nobody: 'Not recorded', and nothing typed is lost."""
    session, path = browser(web), f"/incidents/{incident.id}/notes"
    for said, words in (
        ({"text": " ", "person": "Cleo"}, "A note is empty"),
        ({"text": "x" * 8001, "person": "Cleo"}, "At most 8000 characters"),
        ({"text": "It hangs.", "person": "automation/rules"}, "nobody&#39;s name"),
    ):
        answer = do(session, web, path, **said)
        assert answer.status_code == 400
        assert "Not recorded." in answer.text
        assert words in answer.text
        assert f"{said['text'].strip()}</textarea>" in answer.text
    assert types(ann, incident.id) == ["incident.opened"]


def test_a_log_that_is_down_is_told_as_not_recorded_and_the_words_are_kept(
    web: Web, ann: Desk, incident: Incident
):
    """503, with a form that sends the same words again; sent again, they are one note."""
    cleo, path = browser(web, "Cleo Clark"), f"/incidents/{incident.id}/notes"
    said = {"csrf": csrf_of(cleo, web, "/login"), "nonce": "n", "text": "Do not lose <this>."}
    log = web.workspace / "outputs" / "imt.db"
    kept = {one: one.read_bytes() for one in log.parent.glob("imt.db*")}
    ann.close()
    for one in kept:
        one.write_bytes(b"this is no database" * 1000)
    down = post(cleo, web, path, said)
    assert down.status_code == 503
    assert "<h1>Not recorded</h1>" in down.text
    assert "Do not lose &lt;this&gt;.</textarea>" in down.text
    assert f'action="{path}"' in down.text
    assert down.headers["Retry-After"]
    for one in log.parent.glob("imt.db*"):
        one.unlink()
    for one, content in kept.items():
        one.write_bytes(content)
    for _ in range(2):
        assert post(cleo, web, path, said).ok
    with web.desk() as desk:
        assert types(desk, incident.id).count("note.added") == 1


# Ticks.


def test_a_checklist_is_ticked_and_a_tick_taken_back(web: Web, ann: Desk, incident: Incident):
    """By a person who is known; each is in the log with who, and twice is once."""
    checklists.show(ann, incident.id, checklist_of("restore", ["Drain it", "Tell support"]))
    page, path = (
        f"{web.url}/incidents/{incident.id}",
        f"/incidents/{incident.id}/checklists/restore",
    )
    assert "Say who you are</a> to tick" in browser(web).get(page).text
    cleo = browser(web, "Cleo Clark")
    for _ in range(2):
        done = do(cleo, web, path, item="drain-it", place="1")
        assert done.url.endswith("#list-1")
        assert '<details class="checklist" id="list-1" open' in done.text
        assert "1 of 2 done" in done.text
    (item, _) = checklists.get(ann, incident.id, "restore").items
    assert (item.by, item.via) == ("Cleo Clark", "web, self-named")
    assert do(cleo, web, path, item="drain-it", **{"take-back": "1"}).ok
    assert types(ann, incident.id)[-2:] == ["checklist.ticked", "checklist.unticked"]
    never = do(cleo, web, path, item="tell-support", **{"take-back": "1"})
    assert never.status_code == 409
    assert do(cleo, web, path, item="nonsense").status_code == 404


def test_no_deed_without_its_csrf_token(web: Web, ann: Desk, incident: Incident):
    """Whatever another site has a browser post, nothing is recorded."""
    checklists.show(ann, incident.id, checklist_of("restore", ["Drain it"]))
    cleo, before = browser(web, "Cleo Clark"), types(ann, incident.id)
    for path in ("moves/acknowledge", "notes", "checklists/restore"):
        said = {"text": "x", "item": "drain-it"}
        answer = post(cleo, web, f"/incidents/{incident.id}/{path}", said)
        assert answer.status_code == 403
        assert "<h1>Not recorded</h1>" in answer.text
    assert types(ann, incident.id) == before


# Who it is, and how that is known.


def test_the_pages_and_the_log_say_how_a_name_is_known(serve: Callable[..., Web], workspace: Path):
    """Given by oneself, or by the proxy: it stands on each page, and in the entry's source."""
    web = serve()
    with web.desk("Ann Example") as ann:
        id_ = incidents.open_(ann, Opening("Slow")).id
        told = browser(web, "Cleo Clark").get(f"{web.url}/incidents/{id_}").text
        assert "the name you gave yourself" in told
        assert "may give any, and the log marks it" in told
        proxied = serve(proxies=("127.0.0.1",), user_header="X-Forwarded-User")
        header = {"X-Forwarded-User": "Dora Doe"}
        page = requests.get(f"{proxied.url}/incidents/{id_}", headers=header, timeout=10).text
        assert "as the proxy says in X-Forwarded-User" in page
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
        assert csrf
        answer = requests.post(
            f"{proxied.url}/incidents/{id_}/notes",
            data={"csrf": csrf[1], "text": "From behind the proxy."},
            headers={**header, "Origin": proxied.url},
            timeout=10,
        )
        assert answer.ok
        last = incidents.get(ann, id_).entries[-1]
        assert (last.actor, last.source) == ("Dora Doe", "web")


def test_the_login_says_where_the_token_is_and_how_one_lasts(serve: Callable[..., Web]):
    """Made up at each start: how to set one. Set in imt.toml: who knows it."""
    made_up = requests.get(f"{serve().url}/login", timeout=10).text
    assert "prints a link with the token in it" in made_up
    assert 'token = "secret://env/PAGES_TOKEN"' in made_up
    lasting = requests.get(f"{serve(token=TOKEN).url}/login", timeout=10).text
    assert "set in <code>imt.toml</code>" in lasting


# Runs.


def test_a_run_has_a_page_and_is_cancelled_from_it_after_a_question(web: Web, ann: Desk):
    """Its steps, its values, its question; the button stands behind words, without script."""
    id_ = busy_incident(ann)
    cleo = browser(web, "Cleo Clark")
    page = cleo.get(f"{web.url}/runs/{RUN}").text
    for words in (
        "2 of 5 steps completed",
        "It waits for an answer",
        "checkout",
        "outputs/x.ipynb",
    ):
        assert words in page
    asked = re.search(r'<details class="cancel">.*?</details>', page, re.S)
    assert asked
    assert "What it did and wrote so far stays." in asked[0]
    done = do(cleo, web, f"/runs/{RUN}/cancel", back="run")
    assert done.url == f"{web.url}/runs/{RUN}#run-{RUN}"
    run = incidents.get(ann, id_).run(RUN)
    assert run is not None
    assert run.status == "cancelled"
    assert cleo.get(f"{web.url}/runs/nothing").status_code == 404


def test_a_queued_run_says_its_place_and_whether_anybody_takes_it(
    web: Web, ann: Desk, incident: Incident
):
    """Worst severity first; that no worker is up is told, and that one is."""
    for number, priority in enumerate((3, 1)):
        asked = {"run": f"{QUEUED}{number}", "runbook": "disk", "title": "Look at the disk"}
        asked |= {"rule": "disk-look", "alert": "DiskFull", "priority": priority}
        ann.store.append(incident.id, ann.draft("run.requested", asked, key=f"e/{number}"))
    session = browser(web)
    page = session.get(f"{web.url}/runs/{QUEUED}0").text
    assert "<strong>2 of 2</strong> in the queue" in page
    assert "No worker is up" in page
    assert "by the rule <bdi>disk-look</bdi>, for <bdi>DiskFull</bdi>" in page
    listed = session.get(f"{web.url}/runs").text
    assert listed.index(f'id="run-{QUEUED}1"') < listed.index(f'id="run-{QUEUED}0"')
    with closing(open_bell(ann.settings.store_url, ann.settings.leases, "one")) as worker:
        worker.wait(0)
        assert "A worker takes it" in session.get(f"{web.url}/runs/{QUEUED}0").text
    assert "No worker is up" in session.get(f"{web.url}/runs").text


# What an incident's page tells of its alerts.


def test_alerts_tell_since_when_how_often_and_what_they_began(
    web: Web, ann: Desk, incident: Incident
):
    """Each with its runs and their rule; what is only proposed; the proposal to resolve."""
    alert = {"fingerprint": "f1", "name": "DiskFull", "started_at": "2026-11-21T20:16:00Z"}
    asked = {"run": QUEUED, "runbook": "disk", "rule": "disk-look", "fingerprint": "f1"}
    more = {"runbook": "db-failover", "alert": "DiskFull", "reason": "spent its hour"}
    ann.store.append(
        incident.id,
        ann.draft("alert.received", {**alert, "annotations": {"summary": "/var is full"}}),
        ann.draft("alert.resolved", alert),
        ann.draft("alert.received", alert),
        ann.draft("run.requested", asked, key="e/1"),
        ann.draft("runbook.proposed", more),
    )
    session, url = browser(web), f"{web.url}/incidents/{incident.id}"
    page = session.get(url).text
    for words in (
        "fired 2 times",
        "the rule <bdi>disk-look</bdi> began",
        "Proposed, and not begun",
    ):
        assert words in page
    assert f"imt run db-failover --incident {incident.id}" in page
    assert "proposes its own resolution" not in page
    ann.store.append(
        incident.id,
        ann.draft("alert.resolved", alert),
        ann.draft("resolution.proposed", {"reason": "every alert of the incident is over"}),
    )
    assert "It proposes its own resolution" in session.get(url).text
    ann.store.append(incident.id, ann.draft("alert.received", alert))
    assert "It proposes its own resolution" not in session.get(url).text


def test_a_storm_is_one_line_of_the_timeline(web: Web, ann: Desk, incident: Incident):
    """Sixty alerts one after another are folded, and opened by whoever wants each."""
    ann.store.append(
        incident.id,
        *(
            ann.draft("alert.received", {"fingerprint": f"f{n}", "name": "OrdersFail"})
            for n in range(60)
        ),
    )
    page = browser(web).get(f"{web.url}/incidents/{incident.id}").text
    assert "60 alerts fired: OrdersFail × 60" in page
    assert "54 more alerts" in page


# Where there is no page.


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/incidents/INC-1/notes", 405), ("DELETE", "/runs", 405)],
)
def test_who_goes_astray_is_told_in_their_own_form(web: Web, method: str, path: str, status: int):
    """A page for a browser, a line for a program, never the framework's bare words."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    page = requests.request(
        method, web.url + path, headers={**headers, "Accept": "text/html"}, timeout=10
    )
    line = requests.request(method, web.url + path, headers=headers, timeout=10)
    assert (page.status_code, line.status_code) == (status, status)
    assert "To the incidents" in page.text
    assert page.headers["Content-Security-Policy"]
    assert line.headers["Content-Type"].startswith("text/plain")
    assert line.text.strip() not in ("Not Found", "Method Not Allowed")
    assert (status == 405) == ("Allow" in page.headers)


@pytest.mark.parametrize(
    ("path", "accept", "told"),
    [
        ("/", "text/html", "<bdi>imtkit itself failed here."),
        ("/", "*/*", "imtkit itself failed here. Try again"),
        ("/alerts/open", "*/*", '"error":"imtkit itself failed here."'),
    ],
)
def test_a_fault_of_ours_is_told_in_words_and_without_its_details(
    path: str, accept: str, told: str
):
    """500 for browsers, programs and senders; what went wrong stays in the server's terminal."""

    async def fail(_: Request) -> Response:
        raise RuntimeError("canary")

    app = Starlette(routes=[Route(path, fail)], exception_handlers=astray.handlers())
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b""}
    scope |= {"headers": [(b"accept", accept.encode())], "http_version": "1.1"}
    with pytest.raises(RuntimeError, match="canary"):  # the server logs it
        asyncio.run(app(scope, receive, send))
    body = sent[1]["body"].decode()
    assert sent[0]["status"] == 500
    assert told in body
    assert "canary" not in body

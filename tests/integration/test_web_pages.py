"""The web face over real HTTP: who comes in, what the pages say, what a post may change."""

from __future__ import annotations

import html
import http.client
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from email.message import Message
from urllib.parse import quote, urlsplit

import pytest
import requests
from typed import problem_of
from web_server import (
    FAILED,
    RUN,
    TOKEN,
    Web,
    ann,
    ask_change,
    browser,
    busy_incident,
    csrf_of,
    post,
    serve,
    web,
)

from imtkit.kit import Desk, gates, incidents, records
from imtkit.kit.gates import Question
from imtkit.model.opening import Opening
from imtkit.web.drawing import environment

__all__ = ["ann", "serve", "web"]

GATE = f"{RUN}-fail-over-to-the-replica".lower()


@dataclass(frozen=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Message
    body: bytes


def raw(
    web: Web, path: str, *headers: tuple[str, str], method: str = "GET", host: str | None = None
) -> Raw:
    """An answer to a path that no client mended; redirects are not followed."""
    with closing(http.client.HTTPConnection(urlsplit(web.url).netloc, timeout=10)) as connection:
        connection.putrequest(method, path, skip_host=host is not None)
        for name, value in (*headers, *((("Host", host),) if host is not None else ())):
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return Raw(answer.status, answer.headers, answer.read())


BEARER = ("Authorization", f"Bearer {TOKEN}")
USER = "X-Forwarded-User"


# Who comes in.


def test_the_token_in_the_link_becomes_a_cookie_and_leaves_the_address(web: Web) -> None:
    """It is shown once: the redirect has none, the cookie is out of scripts' reach."""
    answer = requests.get(
        f"{web.url}/runs?show=all&token={TOKEN}", allow_redirects=False, timeout=10
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/runs?show=all"
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    assert TOKEN not in cookie


def test_strangers_are_asked_to_log_in_and_come_back_to_where_they_were(web: Web) -> None:
    """A browser gets the login page, a machine a 401; neither gets a page."""
    html = {"Accept": "text/html"}
    answer = requests.get(f"{web.url}/runs?show=all", headers=html, timeout=10)
    assert "Who is there?" in answer.text
    assert 'name="next" value="/runs?show=all"' in answer.text
    for path in ("/", "/runs", "/archive", "/news?after=0", "/incidents/INC-2026-0001"):
        machine = requests.get(web.url + path, timeout=10)
        assert machine.status_code == 401, path
        assert machine.headers["WWW-Authenticate"] == "Bearer"
    assert requests.get(f"{web.url}/static/style.css", timeout=10).ok
    assert raw(web, "/alerts/nothing-there", method="POST").status == 404


def test_a_bearer_comes_in_without_a_cookie(web: Web) -> None:
    """Machines show the token with each request; another one is refused."""
    for token, status in ((TOKEN, 200), (TOKEN[:-1], 401), (f"{TOKEN}x", 401), ("", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.get(f"{web.url}/runs", headers=headers, timeout=10)
        assert answer.status_code == status
        assert "Set-Cookie" not in answer.headers


def test_a_login_needs_the_token_and_somebodys_name(web: Web) -> None:
    """A wrong token, no name, a machine's name: told in words; then it lets in."""
    session = requests.Session()
    for said, words in (
        ({"token": "wrong", "person": "Ann"}, "not the one this server has"),
        ({"person": "Ann"}, "The token is asked for"),
        ({"token": TOKEN, "person": " "}, "Somebody must say who they are"),
        ({"token": TOKEN, "person": "anonymous 1"}, "nobody&#39;s name"),
        ({"token": TOKEN, "person": "automation/rules"}, "nobody&#39;s name"),
    ):
        answer = post(session, web, "/login", said)
        assert answer.status_code == 401, said
        assert words in answer.text
    answer = post(
        session, web, "/login", {"token": TOKEN, "person": "Ann Example", "next": "/runs"}
    )
    assert answer.url == f"{web.url}/runs"
    assert "Ann Example" in answer.text
    left = post(session, web, "/leave", {})
    assert "Who is there?" in left.text
    assert session.get(f"{web.url}/", timeout=10).status_code == 401


def test_a_path_with_two_slashes_is_no_way_out(web: Web) -> None:
    """The redirect that takes the token out of the address stays here too."""
    assert raw(web, f"//evil.example/?token={TOKEN}").headers["Location"] == "/"


def test_on_loopback_only_names_of_this_machine_are_served(web: Web) -> None:
    """A site that resolves to 127.0.0.1 by a name of its own reaches nothing (DNS rebinding)."""
    for host, status in (
        ("evil.example", 403),
        ("evil.example:8787", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("localhost:8787", 200),
        ("127.0.0.1", 200),
        ("[::1]:8787", 200),
    ):
        assert raw(web, "/runs", BEARER, host=host).status == status, host


def test_served_to_the_network_any_host_name_will_do(serve: Callable[..., Web]) -> None:
    """Whoever serves beyond loopback has named the host; the token is asked for all the same."""
    web = serve(host="0.0.0.0")
    assert raw(web, "/runs", BEARER, host="imt.example").status == 200
    assert raw(web, "/runs", host="imt.example").status == 401


def test_behind_a_trusted_proxy_the_header_says_who_it_is(serve: Callable[..., Web]) -> None:
    """Its name stands on the page, nothing else is asked, and without it nobody comes in."""
    web = serve(proxies=("127.0.0.0/8",), user_header="X-Forwarded-User")
    name = "Änn Example".encode().decode("latin-1")
    named = raw(web, "/", (USER, name), host="imt.example")
    assert named.status == 200
    page = named.body.decode()
    assert "Änn Example" in page
    assert "Leave" not in page
    assert raw(web, "/", host="imt.example").status == 401
    assert raw(web, "/", (USER, "anonymous")).status == 401
    assert raw(web, f"/?token={TOKEN}").status == 401


def test_a_user_header_from_anybody_else_is_nothing(serve: Callable[..., Web]) -> None:
    """Only the listed proxies are believed."""
    web = serve(proxies=("192.0.2.7",), user_header="X-Forwarded-User")
    assert raw(web, "/", (USER, "Ann Example")).status == 401


def test_two_user_headers_are_one_too_many(serve: Callable[..., Web]) -> None:
    """Where a client sent one too and the proxy added its own, neither is believed."""
    web = serve(proxies=("127.0.0.1",), user_header="X-Forwarded-User")
    assert raw(web, "/", (USER, "Mallory"), (USER, "Ann Example")).status == 401


def test_behind_tls_the_cookie_is_secure(serve: Callable[..., Web]) -> None:
    """A proxy that ends TLS says so; from anybody else that is not believed."""
    web = serve(proxies=("127.0.0.1",))
    over_tls = raw(web, f"/?token={TOKEN}", ("X-Forwarded-Proto", "https"))
    assert "secure" in over_tls.headers["Set-Cookie"].lower()


def test_every_page_forbids_frames_foreign_scripts_and_inline_ones(web: Web, ann: Desk) -> None:
    """The policy allows our own script and style alone, and no template needs more."""
    session = browser(web)
    id_ = busy_incident(ann)
    for path in ("/", f"/incidents/{id_}", "/runs", "/archive", "/login", "/incidents/none"):
        answer = session.get(web.url + path, timeout=10)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son[a-z]+=", answer.text), path


def test_templates_escape_everything_and_know_all_their_names() -> None:
    """Escaping is never off in a template."""
    made = environment()
    assert made.autoescape is True
    for name in made.list_templates(extensions=("html",)):
        source = made.loader.get_source(made, name)[0] if made.loader else ""
        assert "|safe" not in source.replace(" ", ""), name
        assert "autoescape" not in source, name
        made.get_template(name)


# What the pages say.


def test_the_list_has_open_incidents_worst_first_and_what_waits(web: Web, ann: Desk) -> None:
    """Severity, status, service, alerts, last entry; what is over is a link away."""
    minor = incidents.open_(ann, Opening("Search is stale", severity="sev3")).id
    over = incidents.open_(ann, Opening("Disk full", severity="sev2")).id
    incidents.mitigate(ann, over)
    ann.store.append(over, ann.draft("incident.resolved", {}))
    id_ = busy_incident(ann)
    session = browser(web)
    text = session.get(web.url, timeout=10).text
    assert text.index(f'id="{id_}"') < text.index(f'id="{minor}"')
    assert over not in text
    for words in (
        "1 of 2 alerts firing",
        "Waiting for an answer",
        "14 tickets",
        "checkout, payments",
    ):
        assert words in text, words
    assert over in session.get(f"{web.url}/?show=over", timeout=10).text
    only = session.get(f"{web.url}/?severity=sev3", timeout=10).text
    assert f'id="{minor}"' in only
    assert f'id="{id_}"' not in only


def test_the_worst_of_many_open_incidents_is_on_top_however_old(web: Web, ann: Desk) -> None:
    """Of more than a page shows, the worst come first, and a link leads to how many more."""
    worst = incidents.open_(ann, Opening("Every order fails", severity="sev1")).id
    for number in range(60):
        incidents.open_(ann, Opening(f"Disk {number} fills", severity="sev3"))
    session = browser(web)
    first = session.get(web.url, timeout=10).text
    shown = re.findall(r'<article [^>]*id="(INC-[\d-]+)"', first)
    assert len(shown) == 50
    assert shown[0] == worst
    assert shown[1:] == sorted(shown[1:], reverse=True)
    link = re.search(r'<a href="([^"]+)">… and 11 more</a>', first)
    assert link
    rest = session.get(f"{web.url}{link[1]}", timeout=10).text
    assert " more</a>" not in rest
    others = re.findall(r'<article [^>]*id="(INC-[\d-]+)"', rest)
    assert len(others) == 11
    assert len({*shown, *others}) == 61


def test_empty_pages_say_what_to_do(web: Web) -> None:
    """No incident, no run, no record: each page names the next step."""
    session = browser(web)
    for path, words in (
        ("/", "imt incident open"),
        ("/?show=over", "No incident matches"),
        ("/runs", "imt run NAME"),
        ("/archive", "imt record build"),
    ):
        text = session.get(web.url + path, timeout=10).text
        assert words in text, path
        assert [line for line in commands_in(text) if problem_of(line)] == []


def commands_in(text: str) -> list[str]:
    """The commands that a page lets one copy."""
    return [html.unescape(one) for one in re.findall(r"<code data-copy>(.*?)</code>", text)]


def test_every_command_that_a_page_lets_one_copy_can_be_typed(web: Web, ann: Desk) -> None:
    """Those of runs, and what comes next from open to closed, are read without complaint."""
    session = browser(web)
    runs, plain = busy_incident(ann), incidents.open_(ann, Opening("Slow")).id
    shown = [session.get(f"{web.url}/{one}", timeout=10).text for one in ("runs", f"runs/{RUN}")]
    shown.append(session.get(f"{web.url}/incidents/{runs}", timeout=10).text)
    incidents.set_fields(ann, plain, {"resolution": "restarted", "cause": "a leak"})
    verbs = ("acknowledge", "mitigate", "resolve", "close")
    for move in (None, *(getattr(incidents, verb) for verb in verbs)):
        if move:
            move(ann, plain)
        shown.append(session.get(f"{web.url}/incidents/{plain}", timeout=10).text)
    found = {line for text in shown for line in commands_in(text)}
    verbs = ("ack", "mitigate", "resolve", "close", "review")
    assert found >= {f"imt incident {verb} {plain}" for verb in verbs}
    assert {f"imt take {RUN}", f"imt take {FAILED}"} <= found
    assert [(line, problem_of(line)) for line in sorted(found) if problem_of(line)] == []


def test_an_incident_shows_all_there_is_with_times_in_utc(web: Web, ann: Desk) -> None:
    """Gates, timeline, alerts, runs, decisions, evidence; times readable without script."""
    id_ = busy_incident(ann)
    text = browser(web).get(f"{web.url}/incidents/{id_}", timeout=10).text
    for words in (
        "Fail over to the replica?",
        "Stop the nightly batch job",
        "it holds 80 connections",
        "Connections by state",
        f"imt take {RUN}",
        "2 of 5 steps completed",
        "1 firing, 1 over",
        "p99 of /pay is 11.2 s",
    ):
        assert words in text, words
    assert re.search(
        r'<time datetime="\d{4}-\d\d-\d\dT[\d:]{8}Z" data-as="clock">[\d -:]+ UTC<', text
    )


def test_what_there_is_not_is_told_with_the_nearest_name(web: Web, ann: Desk) -> None:
    """An incident that does not exist is a 404 that says what may have been meant."""
    id_ = busy_incident(ann)
    answer = browser(web).get(f"{web.url}/incidents/{id_}X", timeout=10)
    assert answer.status_code == 404
    assert id_ in answer.text


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 1111111 }}{% include 'base.html' %}",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "W" * 10_000,
    "half \ud800",
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_only_text(web: Web, ann: Desk, text: str) -> None:
    """In titles, services, labels, steps and questions: escaped, made visible, cut."""
    safe = text.encode("utf-8", "replace").decode()
    id_ = incidents.open_(ann, Opening(f"T {safe}", services=(safe,))).id
    alert = {"fingerprint": "f", "name": safe, "labels": {safe[:3000]: safe}, "annotations": {}}
    run = {"run": "r1", "runbook": safe, "title": safe, "steps": [{"step": "s", "title": safe}]}
    failed = {"run": "r1", "status": safe, "error": safe}
    ann.store.append(
        id_,
        ann.draft("alert.received", {**alert, "started_at": "2026-11-21T20:16:00Z"}),
        ann.draft("run.started", run, key="run/r1"),
        ann.draft("run.finished", failed),
        ann.draft("note.added", {"text": safe}),
    )
    gates.open_(ann, id_, Question(safe, answers=(safe, "no")))
    session = browser(web)
    for path in ("/", f"/incidents/{id_}", "/runs?show=all", f"/?service={quote(safe)}"):
        answer = session.get(web.url + path, timeout=10)
        assert answer.status_code == 200, path
        for bad in ("<script>alert", "<img src=x", "\x1b", "\u202e", "\x07"):
            assert bad not in answer.text, (path, bad)
    assert "7777777" not in session.get(f"{web.url}/incidents/{id_}", timeout=10).text


# What a post may change.


def answer_gate(
    session: requests.Session, web: Web, id_: str, gate: str, said: dict[str, str], **headers: str
) -> requests.Response:
    """Post an answer with the CSRF token of the incident's page."""
    token = csrf_of(session, web, "/login")
    path = f"/incidents/{id_}/gates/{gate}"
    return post(session, web, path, {"csrf": token, **said}, **headers)


def test_an_answer_is_recorded_with_name_and_reason_then_shown(web: Web, ann: Desk) -> None:
    """The name in the form is kept: the next page knows who it is."""
    id_ = busy_incident(ann)
    session = browser(web)
    said = {"answer": "yes", "reason": "the lag is zero", "person": "Cleo Clark"}
    answer = answer_gate(session, web, id_, GATE, said)
    assert answer.status_code == 200
    assert "Recorded:" in answer.text
    assert "you are <bdi>Cleo Clark" in answer.text
    gate = gates.get(ann, id_, GATE)
    assert (gate.answer, gate.by, gate.reason, gate.via) == (
        "yes",
        "Cleo Clark",
        "the lag is zero",
        "web, self-named",
    )
    again = answer_gate(session, web, id_, GATE, said)
    assert "Recorded:" in again.text
    assert sum(e.type == "gate.answered" for e in incidents.get(ann, id_).entries) == 1


def test_an_answer_of_unseen_characters_is_the_one_that_was_meant(web: Web, ann: Desk) -> None:
    """The page shows them, and so the form posts them, made visible; the log keeps its own."""
    id_ = busy_incident(ann)
    odd = "go\u202e now\x1b"
    gates.open_(ann, id_, Question("Odd?", answers=(odd, "no")))
    session = browser(web, "Cleo Clark")
    page = session.get(f"{web.url}/incidents/{id_}", timeout=10).text
    shown = re.search(r'value="(go[^"]*)"', page)
    assert shown
    assert shown[1] != odd
    assert answer_gate(session, web, id_, "odd", {"answer": shown[1]}).ok
    assert gates.get(ann, id_, "odd").answer == odd


def test_what_keeps_a_resolved_incident_open_is_asked_on_the_first_page(
    web: Web, ann: Desk
) -> None:
    """As ``imt gate list`` has it; and in the list of what is over."""
    id_ = incidents.open_(ann, Opening("Orders fail")).id
    gates.open_(ann, id_, Question("Tell the customers?"))
    incidents.acknowledge(ann, id_)
    incidents.resolve(ann, id_, fields={"resolution": "done"})
    session = browser(web)
    first = session.get(f"{web.url}/", timeout=10).text
    asking = first.split('id="asking"')[1].split("</section>")[0]
    row = asking.split(f"/incidents/{id_}#")[1].split("</li>")[0]
    assert "Tell the customers?" in row
    assert "resolved but not closed" in row
    over = session.get(f"{web.url}/?show=over", timeout=10).text
    assert '<span class="asks">1 question</span>' in over.split(f'id="{id_}"')[1]


def test_nothing_is_shown_as_recorded_that_is_not(web: Web, ann: Desk) -> None:
    """The address alone makes no answer: a gate that waits is not shown as answered."""
    id_ = busy_incident(ann)
    page = browser(web).get(f"{web.url}/incidents/{id_}?answered={GATE}", timeout=10).text
    assert "Recorded:" not in page


def test_who_comes_second_is_told_who_was_first(web: Web, ann: Desk) -> None:
    """409, the first answer's words, and the log keeps one."""
    id_ = busy_incident(ann)
    gates.answer(ann, id_, GATE, "no", reason="lag")
    answer = answer_gate(browser(web, "Cleo Clark"), web, id_, GATE, {"answer": "yes"})
    assert answer.status_code == 409
    assert "was answered already: no, by Ann Example" in answer.text
    assert "Not recorded." in answer.text


def test_an_expired_gate_is_told_in_words(web: Web, ann: Desk) -> None:
    """Nobody answers what has expired."""
    id_ = busy_incident(ann)
    gates.open_(ann, id_, Question("Quick?", within=timedelta(milliseconds=50)))
    time.sleep(0.1)
    answer = answer_gate(browser(web, "Cleo Clark"), web, id_, "quick", {"answer": "yes"})
    assert answer.status_code == 409
    assert "expired" in answer.text


def test_who_may_not_answer_is_told_why(web: Web, ann: Desk) -> None:
    """A gate asked of others shows no form, and takes no post either."""
    id_ = busy_incident(ann)
    gates.open_(ann, id_, Question("Board only?", who=("Dora",)))
    session = browser(web, "Cleo Clark")
    assert "Dora may" in session.get(f"{web.url}/incidents/{id_}", timeout=10).text
    answer = answer_gate(session, web, id_, "board-only", {"answer": "yes"})
    assert answer.status_code == 403
    assert gates.get(ann, id_, "board-only").is_waiting


def test_a_change_is_approved_by_somebody_else_only(web: Web, ann: Desk) -> None:
    """Its asker is refused; another person's approval is recorded."""
    id_ = busy_incident(ann)
    change = ask_change(ann, id_)
    asker = answer_gate(browser(web, "Ann Example"), web, id_, change, {"answer": "approve"})
    assert asker.status_code == 403
    assert "asked for this change" in asker.text
    other = answer_gate(browser(web, "Cleo Clark"), web, id_, change, {"answer": "approve"})
    assert other.status_code == 200
    found = incidents.get(ann, id_).change(change)
    assert found is not None
    assert found.state == "approved"


def test_a_post_needs_its_csrf_token_and_our_own_origin(web: Web, ann: Desk) -> None:
    """Another site's form, an old page, a browser that hides where it is: nothing is done."""
    id_ = busy_incident(ann)
    session = browser(web, "Cleo Clark")
    said = {"answer": "yes"}
    for extra, headers in (
        ({"csrf": ""}, {}),
        ({"csrf": "0" * 64}, {}),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Origin": ""}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ):
        answer = answer_gate(session, web, id_, GATE, {**said, **extra}, **headers)
        assert answer.status_code == 403, (extra, headers)
    stranger = requests.Session()
    assert post(stranger, web, f"/incidents/{id_}/gates/{GATE}", said).status_code == 401
    assert gates.get(ann, id_, GATE).is_waiting


def test_a_machine_with_the_token_posts_without_a_form(web: Web, ann: Desk) -> None:
    """No browser sends a bearer by itself: it needs neither cookie nor CSRF token, but a name."""
    id_ = busy_incident(ann)
    url, headers = f"{web.url}/incidents/{id_}/gates/{GATE}", {"Authorization": f"Bearer {TOKEN}"}
    nameless = requests.post(url, data={"answer": "yes"}, headers=headers, timeout=10)
    assert nameless.status_code == 400
    said = {"answer": "yes", "person": "Cleo Clark"}
    assert requests.post(url, data=said, headers=headers, timeout=10).ok
    assert gates.get(ann, id_, GATE).by == "Cleo Clark"


def test_what_is_no_form_or_too_big_is_refused(web: Web, ann: Desk) -> None:
    """Multipart, JSON, a megabyte, two hundred fields: a 400 in words."""
    id_ = busy_incident(ann)
    session = browser(web, "Cleo Clark")
    url, headers = f"{web.url}/incidents/{id_}/gates/{GATE}", {"Origin": web.url}
    for sent in (
        {"json": {"answer": "yes"}},
        {"files": {"answer": b"yes"}},
        {"data": {"answer": "y" * 1_000_000}},
        {"data": {f"f{n}": "" for n in range(200)}},
    ):
        answer = session.post(url, headers=headers, timeout=10, **sent)  # type: ignore[arg-type]
        assert answer.status_code == 400, sent.keys()
    for path in ("/login", f"/runs/{RUN}/cancel"):
        answer = session.post(web.url + path, headers=headers, json={}, timeout=10)
        assert answer.status_code == 400, path


def test_a_parked_run_is_cancelled_by_a_button(web: Web, ann: Desk) -> None:
    """Once; the second click is told that it is over."""
    id_ = busy_incident(ann)
    session = browser(web, "Cleo Clark")
    said = {"csrf": csrf_of(session, web, "/login"), "back": "runs"}
    done = post(session, web, f"/runs/{RUN}/cancel", said)
    assert done.url == f"{web.url}/runs#run-{RUN}"
    run = incidents.get(ann, id_).run(RUN)
    assert run is not None
    assert run.status == "cancelled"
    again = post(session, web, f"/runs/{RUN}/cancel", said)
    assert again.status_code == 409
    assert "nothing to end" in again.text


def test_runs_stand_under_what_they_need(web: Web, ann: Desk) -> None:
    """What waits for a person comes first, then what failed, each with the command to go on."""
    busy_incident(ann)
    text = browser(web).get(f"{web.url}/runs", timeout=10).text
    assert text.index("Waiting for a person") < text.index(f'id="run-{RUN}"')
    assert text.index(f'id="run-{RUN}"') < text.index(">Failed") < text.index(f'id="run-{FAILED}"')
    assert f"imt take {FAILED}" in text


def test_a_queued_run_is_shown_and_can_be_cancelled(web: Web, ann: Desk) -> None:
    """What waits for a worker stands in the list before it begins, and need not begin."""
    id_ = busy_incident(ann)
    run = "20261121T202000Z-abcdef"
    asked = {"run": run, "runbook": "disk", "title": "Look at the disk", "parameters": {}}
    ann.store.append(id_, ann.draft("run.requested", asked, key="episode/rule/disk"))
    session = browser(web, "Cleo Clark")
    text = session.get(f"{web.url}/runs", timeout=10).text
    assert text.index(">Queued") < text.index(f'id="run-{run}"') < text.index(">Failed")
    said = {"csrf": csrf_of(session, web, "/login")}
    assert post(session, web, f"/runs/{run}/cancel", said).ok
    found = incidents.get(ann, id_).run(run)
    assert found is not None
    assert found.status == "cancelled"


# News.


def test_news_wait_for_the_next_entry_and_go_on_where_they_were(web: Web, ann: Desk) -> None:
    """The question is held until an entry comes; asked again from there, nothing is missed."""
    id_ = busy_incident(ann)
    session = browser(web)
    page = session.get(f"{web.url}/incidents/{id_}", timeout=10).text
    found = re.search(r'data-after="(\d+)"', page)
    assert found
    timer = threading.Timer(0.7, lambda: incidents.note(ann, id_, "It is the lock."))
    began = time.monotonic()
    timer.start()
    about = {"after": found[1], "incident": id_}
    news = session.get(f"{web.url}/news", params=about, timeout=20).json()
    assert 0.5 < time.monotonic() - began < 5
    assert news["said"] == ["It is the lock."]
    timer.join()
    incidents.note(ann, id_, "While nobody was connected.")
    later = session.get(f"{web.url}/news", params={**about, "after": news["after"]}, timeout=20)
    assert later.json()["said"] == ["While nobody was connected."]
    for bad in ("", "x", "-1", "٣", "9" * 30):
        assert session.get(f"{web.url}/news?after={bad}", timeout=10).status_code == 400


# The archive.


@pytest.fixture
def archived(web: Web, ann: Desk) -> str:
    """An incident whose record was built; beside it lies what nobody may read."""
    id_ = busy_incident(ann)
    records.build(ann, id_)
    folder = ann.folder(id_)
    (folder / "secret.txt").write_text("not for the archive")
    (folder / "record" / "leads-out.txt").symlink_to(folder / "secret.txt")
    (folder / "record" / ".hidden").write_text("hidden")
    (folder / "record" / "evil.html").write_text("<script>alert(1)</script>")
    (folder / "record" / "data.bin").write_bytes(b"\x00\x01")
    (folder / "record" / "evil.js").write_text("alert(1)")
    return id_


def test_a_record_is_served_as_it_was_built_and_can_do_nothing(web: Web, archived: str) -> None:
    """Each file with its type, sandboxed; what a browser cannot show is downloaded."""
    session = browser(web)
    assert archived in session.get(f"{web.url}/archive", timeout=10).text
    index = session.get(f"{web.url}/archive/{archived}/", timeout=10)
    assert index.url.endswith("/index.html")
    assert "Checkout answers slowly" in index.text
    for name, kind in (
        ("index.html", "text/html; charset=utf-8"),
        ("evil.html", "text/html; charset=utf-8"),
        ("data.bin", "application/octet-stream"),
        ("evil.js", "application/octet-stream"),
    ):
        answer = session.get(f"{web.url}/archive/{archived}/{name}", timeout=10)
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox")
        assert "script-src" not in policy
        assert "allow-scripts" not in policy
    assert "attachment" in answer.headers["Content-Disposition"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "....//secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "leads-out.txt",
        ".hidden",
        "index.html%00.txt",
        "x" * 5000,
        "evidence",
    ],
)
def test_nothing_outside_a_record_is_served(web: Web, archived: str, path: str) -> None:
    """Dots, slashes in any coding, links, hidden files, folders, names no file can have."""
    answer = raw(web, f"/archive/{archived}/{path}", BEARER)
    assert answer.status == 404
    assert b"not for the archive" not in answer.body


@pytest.mark.parametrize("incident", ["..", "%2e%2e", ".running", "x%2f..", "%00", "inc"])
def test_no_other_folder_is_an_incidents(web: Web, archived: str, incident: str) -> None:
    """The first part of the address is an incident's id or nothing."""
    answer = raw(web, f"/archive/{incident}/index.html", BEARER)
    assert answer.status == 404


# When things go wrong.


def test_a_log_that_cannot_be_read_is_told_in_a_page(web: Web) -> None:
    """503 with words and Retry-After; who comes in is known all the same."""
    web.workspace.joinpath("outputs", "imt.db").write_bytes(b"this is no database" * 1000)
    for path in ("/", "/runs", "/incidents/INC-2026-0001", "/news?after=0"):
        answer = requests.get(web.url + path, headers=dict([BEARER]), timeout=20)
        assert answer.status_code == 503, path
        assert answer.headers["Retry-After"]
        assert "That did not work" in answer.text


@pytest.mark.parametrize(
    "text", ["zzz", "' OR 1=1 --", "%00", "\u202e", "%ff", "INC-2026-0001", "9" * 400]
)
def test_no_filter_in_the_address_breaks_a_page(web: Web, ann: Desk, text: str) -> None:
    """Whatever stands behind the question mark: a page, and never a traceback."""
    id_ = busy_incident(ann)
    session = browser(web)
    for path in (
        f"/?show={text}",
        f"/?severity={text}",
        f"/?service={text}",
        f"/?q={text}",
        f"/?before={text}",
        f"/runs?show={text}",
        f"/incidents/{id_}?answered={text}&timeline={text}",
    ):
        assert session.get(web.url + path, timeout=10).status_code == 200, path

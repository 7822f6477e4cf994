"""Hostile text in every place where text can stand: nothing runs, nothing is asked for."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from record_examples import (
    ID,
    MIME_TYPE,
    Log,
    built,
    code,
    failed,
    markdown,
    notebook,
    printed,
    shown,
)

from imtkit.record import verify_record

pytestmark = pytest.mark.browser

HIT = "top.hits=(top.hits||[]).concat"
PAYLOADS = {
    "script": "<script>HIT('N')</script>",
    "onerror": "<img src=x onerror=\"HIT('N')\">",
    "link": "<a href=\"javascript:HIT('N')\">click</a>",
    "iframe": "<iframe srcdoc=\"<script>HIT('N')</script>\"></iframe>",
    "remote": '<img src="http://127.0.0.1:9/N.png"><link rel=stylesheet href="http://127.0.0.1:9/N">',
    "refresh": '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/N">',
    "cover": '<div style="position:fixed;inset:0;background:#fff;z-index:99999">covered N</div>',
    "style": "<style>body{display:none!important}@import 'http://127.0.0.1:9/N';</style>",
    "svg": "<svg onload=\"HIT('N')\"><script>HIT('N')</script></svg>",
    "close": "</script></style></pre></textarea></title>--><script>HIT('N')</script>",
    "comment": "<!--<script> N",
    "quote": "\"'><script>HIT('N')</script>",
    "attribute": 'x" onmouseover="HIT(\'N\')" autofocus onfocus="HIT(\'N\')" y="',
    "template": "{{7*7}}{% for x in range(3) %}N{% endfor %}{# N #}",
    "escapes": "\x1b[2J\x1b]8;;http://127.0.0.1:9/N\x07N\x1b]8;;\x07\x1b[<i>",
    "direction": "\u202eN\u202c\u2066N\u2069\u200f",
    "surrogate": "N\ud83d\udc00 half: \ud800",
    "markdown": (
        "[N](javascript:HIT('N')) ![N](http://127.0.0.1:9/N.png)\n\n"
        "```mermaid\nA[<img src=x onerror=HIT('N')>]\n```"
    ),
    "control": "N\0\x08\x7f\x9b31m",
}


def payload(name: str, place: str) -> str:
    """One payload, marked with its own name and the place it was put in."""
    return PAYLOADS[name].replace("HIT", HIT).replace("N", f"{name}-{place}")


def everything(place: str) -> str:
    """All payloads on end; last the open comment, which swallows what follows it in its own
    output, as it should, and must not swallow anything else.
    """
    first = [payload(name, place) for name in PAYLOADS if name != "comment"]
    return "\n".join((*first, f"END-{place}", payload("comment", place)))


def hostile_notebook() -> dict:
    """Payloads in every kind of cell, output, name and metadata."""
    x = everything
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": x("widget")}}
    return notebook(
        markdown("md", x("md")),
        {
            **markdown("attached", "![a](attachment:a.png)"),
            "attachments": {"a.png": {x("am"): x("a")}},
        },
        {"cell_type": "raw", "id": "raw", "metadata": {}, "source": x("raw")},
        code("html", "1", shown({"text/html": x("html")})),
        code("mdout", "1", shown({"text/markdown": x("mdout")})),
        code("js", "1", shown({"application/javascript": x("js")})),
        code("mermaid", "1", shown({"text/vnd.mermaid": x("mermaid")})),
        code(
            "svg",
            "1",
            shown({"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{x('svg')}"}),
        ),
        code("latex", "1", shown({"text/latex": x("latex")})),
        code("plain", "1", shown({"text/plain": x("plain")})),
        code("stdout", "1", printed(x("stdout")), printed(x("stderr"), "stderr")),
        code("error", "1", failed(x("ename"), x("evalue"), x("traceback"))),
        code("error2", "1", failed(x("ename2"), x("evalue2"))),
        code("source", x("source")),
        code(
            "png",
            "1",
            shown(
                {"image/png": f"AAAA{x('png')}", "text/plain": x("alt")},
                width=x("width"),
                filenames={"image/png": "http://127.0.0.1:9/f.png"},
                **{"image/png": {"width": x("width"), "height": "1 onerror=alert(1)"}},
            ),
        ),
        code("jpeg", "1", shown({"image/jpeg": x("jpeg")})),
        code("widget", "1", shown(widget)),
        code("list", "1", shown({MIME_TYPE: {"incident": ID, "list": "l"}})),
        code("list2", "1", shown({MIME_TYPE: {"incident": x("i"), "list": x("unlisted")}})),
        code("json", "1", shown({x("mime"): x("value")})),
        code(x("cellid"), "1", tags=[x("tag")], magics_language=x("magic")),
        title=x("title"),
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {"m": x("state")}}},
        kernelspec={"display_name": x("kernel")},
    )


def hostile_log(folder: Path) -> Log:
    """Payloads in every text of every kind of entry. A store keeps no half characters."""
    folder.mkdir(parents=True)

    def x(place: str) -> str:
        return everything(place).encode("utf-8", "ignore").decode().replace("half:", "")

    log = Log()
    opening = {"title": x("title"), "summary": x("summary"), "severity": x("sev"), "mode": "drill"}
    log.add("incident.opened", {**opening, "services": [x("service")], "tags": [x("tag")]})
    labels = {"labels": {x("label"): x("labelvalue")}, "annotations": {x("ann"): x("annvalue")}}
    log.add("alert.received", {"fingerprint": "f", "name": x("alert"), **labels})
    log.add("note.added", {"text": x("note")}, actor="A<b>", source="s<b>", external=True)
    log.add("decision.made", {"text": x("decision"), "reason": x("why")})
    log.add("role.assigned", {"role": x("role"), "person": x("person")})
    log.add("task.assigned", {"task": "t", "text": x("task"), "assignee": x("assignee")})
    items = [{"id": "a", "text": x("item")}]
    log.add("checklist.shown", {"list": "l", "title": x("list"), "items": items})
    log.add("checklist.ticked", {"list": "l", "item": "a"})
    log.add("field.set", {"name": x("field"), "value": x("fieldvalue")})
    update = {"update": "u", "page": x("page"), "status": x("status"), "body": x("body")}
    log.add("update.requested", {**update, "url": payload("link", "url"), "title": x("utitle")})
    log.add("update.published", {"update": "u", "url": "javascript:alert(1)", "remote_id": x("id")})
    log.add("moon.landed", {x("unknown"): x("data")})
    for name, kind, content in (
        ("a.csv", "text/csv", f"h,{x('csvhead')}\n1,{x('csv')}"),
        ("a.svg", "image/svg+xml", f"<svg xmlns='http://www.w3.org/2000/svg'>{x('evsvg')}</svg>"),
        ("a.html", "text/html", x("evhtml")),
        ('a"onload=x<b>.png', "image/png", "not a png"),
        ("a.bin", x("media"), "x"),
    ):
        _evidence(log, folder, name, kind, content.encode(), x(f"evtitle-{kind[:3]}"))
    start = {"run": x("run"), "runbook": x("runbook"), "title": x("runtitle")}
    (folder / "hostile.ipynb").write_text(json.dumps(hostile_notebook()))
    more = {"parameters": {x("param"): x("paramvalue")}, "output": "hostile.ipynb"}
    log.add("run.started", {**start, **more, "runbook_sha256": x("sha")})
    step = {"run": x("run"), "step": "html", "title": x("step"), "status": x("stepstatus")}
    log.add("step.finished", {**step, "error": x("steperror")})
    log.add("run.finished", {"run": x("run"), "status": x("runstatus"), "error": x("runerror")})
    return log


def _evidence(log: Log, folder: Path, name: str, kind: str, content: bytes, title: str) -> None:
    import hashlib

    path = folder / "evidence" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    kept = {"title": title, "path": f"evidence/{name}", "sha256": sha256, "media_type": kind}
    log.add("evidence.added", {**kept, "size": len(content)})


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The record of an incident whose every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile") / ID
    log = hostile_log(folder)
    hostile = built(log, folder)
    assert hostile.problems == ()
    return hostile


def pages_of(record) -> list[Path]:
    """The record's pages."""
    return sorted(record.folder.glob("*.html"))


def watch(page, path: Path) -> list[str]:
    """Open a page, wait for what it might do, and return what it asked for besides itself."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (asked.append("dialog"), dialog.dismiss()))
    page.goto(path.as_uri(), wait_until="load")
    page.mouse.move(300, 300)
    page.wait_for_timeout(400)
    assert page.url == path.as_uri()
    return [url for url in asked if url != path.as_uri() and not url.startswith("data:image/")]


def hits(page) -> list[str]:
    """Which payloads ran."""
    return page.evaluate("window.hits || []")


def test_the_payloads_do_run_where_nothing_stops_them(page, tmp_path):
    """The control: with these very payloads and this very browser, scripts run and requests go
    out. Without it, the tests below could not fail.
    """
    names = ("script", "onerror", "svg", "iframe", "remote")
    bare = tmp_path / "bare.html"
    bare.write_text(f"<!DOCTYPE html><body>{''.join(payload(n, 'bare') for n in names)}</body>")
    asked = watch(page, bare)
    assert {"script-bare", "onerror-bare", "svg-bare"} <= set(hits(page))
    assert any("127.0.0.1:9" in url for url in asked)


def test_nothing_runs_and_nothing_is_asked_for(page, record):
    """With scripts on and the network there, the record's pages only show."""
    for path in pages_of(record):
        assert watch(page, path) == []
        assert hits(page) == []


def test_cleaning_alone_and_the_policy_alone_both_stop_it(page, record, tmp_path):
    """Each wall holds without the other: with the policy cut out nothing runs; and a page with
    the policy but raw payloads runs nothing either.
    """
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    for path in pages_of(record):
        text = path.read_text(encoding="utf-8")
        assert len(policy.findall(text)) == 1
        copy = tmp_path / path.name
        copy.write_text(policy.sub("", text), encoding="utf-8")
        asked = [url for url in watch(page, copy) if not url.endswith(".html")]
        assert asked == []
        assert hits(page) == []
    meta = policy.search(pages_of(record)[0].read_text(encoding="utf-8"))
    raw = tmp_path / "raw.html"
    parts = "".join(payload(n, "raw") for n in PAYLOADS if n not in ("refresh", "surrogate"))
    raw.write_text(f"<!DOCTYPE html><head>{meta[0]}</head><body>{parts}</body>", encoding="utf-8")
    watch(page, raw)
    assert hits(page) == []


def test_hostile_text_is_there_to_be_read(page, record):
    """What was said is in the record, as text: markup with its brackets, templates unfilled,
    escapes and turns of direction as pictures and numbers; and every place's end is there.
    """
    seen = {}
    for path in pages_of(record):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        seen[path.name] = page.inner_text("body")
    index, shown_page = seen["index.html"], seen["hostile.html"]
    for place in ("plain", "stdout", "stderr", "source", "latex", "traceback", "js", "raw"):
        for name in ("script", "onerror", "iframe", "refresh", "cover", "close", "template"):
            assert payload(name, place) in shown_page, (name, place)
    for place in ("title", "note", "decision", "why", "labelvalue", "item", "fieldvalue"):
        for name in ("script", "svg", "comment", "attribute", "template"):
            assert payload(name, place) in index, (name, place)
    assert "⟨U+202E⟩direction-note⟨U+202C⟩" in index
    assert "␛]8;;http" in index
    for place in ("html", "mdout", "mermaid", "evalue2", "widget", "md", "value", "paramvalue"):
        assert f"END-{place}" in shown_page, place
    for place in (
        "role",
        "person",
        "task",
        "assignee",
        "body",
        "runtitle",
        "steperror",
        "data",
        "csv",
    ):
        assert f"END-{place}" in index, place


def test_nothing_covers_the_page_and_a_drill_stays_a_drill(page, record):
    """Hostile style neither hides the head nor lies over it."""
    for path in pages_of(record):
        page.goto(path.as_uri())
        assert page.locator(".rec-mode").is_visible()
        assert page.evaluate(
            "(() => { const b = document.querySelector('h1').getBoundingClientRect();"
            " return document.elementFromPoint(b.x + 4, b.y + 8).closest('h1') !== null; })()"
        )


LINK = re.compile(r"(?:https?:|mailto:|#|(?:evidence/)?[\w.%~-]+(?:#|$)).*", re.DOTALL)


class Scan(HTMLParser):
    """Collects what in a page's own bytes could act or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.styles: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag, attrs):
        self._in_style = tag == "style"
        if tag in ("script", "iframe", "object", "embed", "form", "base", "link", "svg", "input"):
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or name in ("srcset", "poster", "action", "background"):
                self.faults.append(f"{tag} {name}")
            if name == "src" and not text.startswith("data:image/"):
                self.faults.append(f"{tag} src={text[:40]}")
            if name == "href" and not LINK.fullmatch(text):
                self.faults.append(f"{tag} href={text[:40]}")
            if name == "style":
                self.styles.append(text)
            if name == "http-equiv" and text != "content-security-policy":
                self.faults.append(f"{tag} {text}")

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self._in_style:
            self.styles.append(data.lower())

    def handle_endtag(self, tag):
        self._in_style = False


def test_the_bytes_themselves_hold_nothing_that_acts_or_fetches(record):
    """Scanned without a browser: no script, handler, frame, form, foreign source or import."""
    for path in pages_of(record):
        scan = Scan()
        scan.feed(path.read_text(encoding="utf-8"))
        assert scan.faults == []
        styles = " ".join(scan.styles)
        assert "url(" not in styles
        assert "@import" not in styles
        assert "http" not in styles.replace('a[href^="http"]', "")
        assert "position" not in html.unescape(" ".join(scan.styles[1:]))


def test_a_hostile_record_verifies(record):
    """None of it gets into the way of the proof."""
    assert verify_record(record.folder) == []

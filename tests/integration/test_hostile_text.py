"""Hostile text from the sender's post to the archive: nothing but data changes on the whole way.

A real server on loopback, a real kernel, the pages, the record and a terminal.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from notebook_files import SOUND, code, write_notebook
from servers import until
from serving import Served, message, serving, with_sources
from terminal import Imt, caller, imt_on_terminal

from imtkit.kit import open_desk, records, requests
from imtkit.model.incident import Incident
from imtkit.runs.queue import Request

HOSTILE = {
    "template": "{{ 7*7 }}{% raw %}${7*7}#{7*7}<%= 7*7 %>{0.__class__}{value!r}%(x)s%n",
    "python": "\"\"\"'''\\'; import os; open('pwned', 'w') #\nraise SystemExit(9)",
    "magic": "%%bash\ntouch pwned\n!touch pwned\n%run pwned\n?pwned",
    "shell": "$(touch pwned) `touch pwned`; touch pwned | tee pwned & > pwned || ~ * \\",
    "html": "<script>pwned()</script><img src=x onerror=pwned()>\"' onload=pwned() --></title>",
    "ansi": "\x1b[2J\x1b]0;pwned\x07\x1b[31mred\x9b2J\b\x7f\x00",
    "rtl": "\u202egnp.exe\u2066\u2069\u200f\u200b",
    "surrogate": "\ud800 half \udfff",
    "nested": "[" * 50_000 + '{"a":' * 50_000,
    "big": "x" * 100_000,
    "path": "../../../../etc/passwd\n/../pwned",
    "sql": "'; DROP TABLE entries; --",
    "json": '"},"key":"pwned","data":{"a":[1e999,NaN]}',
}
EVENTS_AND_SCRIPTS = ("on", "srcdoc", "formaction")


@dataclass(frozen=True)
class Story:
    """What became of one alert made of all that: the server is still up."""

    workspace: Path
    served: Served
    incident: Incident
    output: str

    def texts(self) -> dict[str, str]:
        """The alert's labels as the log has them."""
        return dict(self.incident.alerts[0].labels)


class Markup(HTMLParser):
    """What a browser would carry out in a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.active = "", []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in ("script", "style") else ""
        told = [f"{tag} {name}" for name, _ in attrs if name.startswith(EVENTS_AND_SCRIPTS)]
        links = [f"{tag} {value}" for _, value in attrs if (value or "").startswith("javascript:")]
        self.active += told + links

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.active += [data] if "pwned" in data else []
        else:
            self.text += data


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One alert is posted, opens an incident, and a run of a real kernel takes its labels."""
    from imtkit.config import shipped

    workspace = tmp_path_factory.mktemp("hostile") / "workspace"
    (workspace / "outputs").mkdir(parents=True)
    (workspace / "imt.toml").write_text((shipped("templates") / "imt.toml").read_text())
    given = ", ".join(f'{name} = "label:{name}"' for name in (*HOSTILE, "deep"))
    rule = f'[[alerts.rules]]\nname = "all"\nrunbooks = ["trial"]\nparameters = {{ {given} }}\n'
    with_sources(workspace, f"\n{rule}at_once = 1\n")
    told = "\n".join(f'{name}: str = "own"' for name in HOSTILE)
    cells = [
        code("p", f"{told}\ndeep: list = []", "parameters"),
        code("a", f"print(ascii({{name: globals()[name] for name in {[*HOSTILE]}}}))"),
        code("b", "import os\nprint(os.path.exists('pwned'), deep)"),
    ]
    write_notebook(workspace / "runbooks/trial.ipynb", cells, about=SOUND | {"alerts": []})
    labels = {"alertname": HOSTILE["html"], "service": HOSTILE["html"], **HOSTILE}
    labels |= {"severity": HOSTILE["template"], "deep": HOSTILE["nested"], HOSTILE["html"]: "name"}
    summary = {"summary": HOSTILE["ansi"] + HOSTILE["rtl"] + HOSTILE["html"]}
    with serving(workspace) as served:
        body = message(labels=labels, annotations={**summary, "description": HOSTILE["python"]})
        assert served.post("open", body).status_code == 202
        huge = {"alertname": "Huge", "service": HOSTILE["html"], "big": "x" * 9_900_000}
        assert served.post("open", message(2, labels=huge)).status_code == 202
        assert served.post("open", message(3, big="x" * 10_000_001)).status_code == 413
        with open_desk(workspace, actor="Ann Example") as desk:
            until(desk.store.incidents, 30)
            (summary_,) = desk.store.incidents()
            until(lambda: len(desk.store.incident(summary_.id).alerts) == 2, 30)
            (run,) = desk.store.incident(summary_.id).runs
            done = requests.carry_out(desk, Request(run.id, summary_.id), is_gone=lambda _: False)
            assert done.status == "completed", done.error
            records.build(desk, summary_.id)
            incident = desk.store.incident(summary_.id)
            yield Story(workspace, served, incident, str(desk.settings.root / done.output_path))


def test_the_kernel_got_values_and_ran_nothing_else(story: Story) -> None:
    """Each parameter is the text of the log to the character; nothing was carried out."""
    cells = json.loads(Path(story.output).read_text())["cells"]
    printed = {c["id"]: "".join(c["outputs"][0]["text"]) for c in cells if c.get("outputs")}
    labels = story.texts()
    assert ast.literal_eval(printed["a"]) == {name: labels[name] for name in HOSTILE}
    assert printed["b"].split() == ["False", "[]"]
    for place in (story.workspace, Path.cwd()):
        assert not list(place.rglob("pwned"))


def test_the_log_has_the_text_and_nothing_but_the_text(story: Story) -> None:
    """As it was told, but for characters that have no text; what is long is cut."""
    labels = story.texts()
    same = ("template", "python", "magic", "shell", "html", "rtl", "path", "sql", "json")
    assert {name: labels[name] for name in same} == {name: HOSTILE[name] for name in same}
    assert labels["surrogate"] == "\ufffd half \ufffd"
    assert not any(ord(one) < 32 and one != "\n" for one in labels["ansi"])
    assert len(labels["big"]) == len(labels["nested"]) == 1000
    (run,) = story.incident.runs
    assert story.incident.severity == "sev3", "a label that names no severity says none"
    assert run.parameters.get("deep", []) == []


PAGES = ("", "incidents/{incident}", "runs/{run}", "runs", "?text=%3Cscript%3E")


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_it_as_text(story: Story, page: str) -> None:
    """No element, attribute or script comes of it; it is there to be read."""
    place = page.format(incident=story.incident.id, run=story.incident.runs[0].id)
    answer = story.served.get(place)
    assert answer.status_code == 200, answer.text[:500]
    markup = Markup(answer.text)
    assert markup.active == []
    assert not {"\x1b", "\x07", "\x00", "\x9b"} & set(answer.text)
    if page == PAGES[1]:
        assert "<script>pwned()</script>" in markup.text
        assert "{{ 7*7 }}" in markup.text or "{{ 7*7 }}" in answer.text


def test_the_record_shows_it_as_text(story: Story) -> None:
    """The archive's pages carry nothing out, and verify."""
    folder = story.workspace / "outputs" / story.incident.id / "record"
    pages = sorted(folder.glob("*.html"))
    assert len(pages) == 2
    for page in pages:
        markup = Markup(page.read_text())
        assert markup.active == [], page
        assert "pwned" in markup.text
    assert records.verify(folder) == []


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("incident", "list"),
    ("incident", "show", "{incident}"),
    ("runs", "list"),
    ("runs", "show", "{run}"),
    ("alerts", "list"),
    ("alerts", "explain", "again.json"),
    ("gate", "list"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_terminal_is_told_nothing_but_text(
    story: Story,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No escape, no turn of the reading direction, and JSON that can be read."""
    monkeypatch.chdir(story.workspace)
    monkeypatch.setenv("IMT_USER", "Ann Example")
    labels = {"alertname": HOSTILE["ansi"] + HOSTILE["rtl"], "service": HOSTILE["ansi"], **HOSTILE}
    Path("again.json").write_bytes(message(7, labels=labels))
    imt: Imt = caller(capsys)
    named: Any = {"incident": story.incident.id, "run": story.incident.runs[0].id}
    told = [word.format(**named) for word in words]
    more = ["--source", "open"] if "explain" in told else []
    done = imt(*told, *more)
    assert done.code == 0, done.err
    for text in (done.out, done.err):
        assert not set("\x1b\x07\x00\x08\x7f\x9b\u202e\u2066") & set(text)
        text.encode()
    document = imt(*told, *more, "--json")
    assert document.code == 0
    assert document.json is not None


def test_a_real_terminal_gets_only_our_own_escapes(story: Story) -> None:
    """What it is told neither clears the screen nor sets its title."""
    words = ["incident", "show", story.incident.id, "--workspace", str(story.workspace)]
    code_, shown = imt_on_terminal(words, cwd=story.workspace, answers={})
    assert code_ == 0, shown[-2000:]
    assert "\x1b[2J" not in shown
    assert "\x1b]0;" not in shown
    assert "\x9b" not in shown
    assert "pwned" in shown
    assert os.environ.get("X") is None

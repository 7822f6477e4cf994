"""Records built from real files: whole, verifiable, and never half there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from record_examples import (
    Log,
    built,
    code,
    diagnosis,
    example_log,
    notebook,
    printed,
)

from imtkit.contracts import Head
from imtkit.errors import RecordError
from imtkit.record import Pages, verify_record
from imtkit.record.index import CHECK
from imtkit.record.manifest import INDEX, LOG, MANIFEST


@pytest.fixture(scope="module")
def pages():
    """One exporter for all of these tests."""
    return Pages()


@pytest.fixture
def folder(tmp_path):
    """An incident's folder."""
    return tmp_path / "INC-2026-0042"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a record by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_record_holds_index_pages_evidence_log_and_manifest(folder, pages):
    """Everything that a reader or an auditor needs is in one folder, and it verifies."""
    log = example_log(folder)
    record = built(log, folder, pages)
    assert record.index == folder / "record" / "index.html"
    assert record.problems == ()
    assert record.head == Head(log.id, len(log.entries), log.entries[-1].hash)
    names = set(contents(record.folder))
    assert {INDEX, LOG, MANIFEST, "20261121T201726Z-http-service.html"} < names
    assert len([name for name in names if name.startswith("evidence/")]) == 2
    assert verify_record(record.folder) == []
    assert verify_record(record.folder, anchor=record.head) == []
    assert not list(folder.glob(".record-*"))


def test_the_same_log_gives_the_same_bytes(folder, tmp_path, pages):
    """Built twice, by one exporter or by two, a record is the same to the byte."""
    log = example_log(folder)
    first = contents(built(log, folder, pages).folder)
    assert contents(built(log, folder, pages).folder) == first
    other = tmp_path / "other"
    assert contents(built(example_log(other), other, Pages()).folder) == first


def test_the_index_says_everything_in_plain_words(folder, pages):
    """Head, times, fields, people, decisions, corrections, what stays open, how to verify."""
    log = example_log(folder)
    html = built(log, folder, pages).index.read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for words in (
        "Orders API answers slowly",
        "Time to acknowledge 5 min 20 s",
        "A leak of sessions in release 4.2.",
        "Sessions leak; a restart frees them.",
        "see entry 13",
        "Still open in Make it safe: Stop the batch job.",
        "written down 2026-11-21 20:25:26 UTC",
        "first byte",
        "https://status.example.org/77",
        "alertname=OrdersSlow",
        "Step 2 failed: division by zero",
        log.entries[-1].hash,
        "hashlib.sha256",
    ):
        assert words in text.replace(" .", "."), words


def test_a_page_says_what_the_log_says_of_its_run(folder, pages):
    """Who, when, with what, and each step's end beside its cell; the checklist as it is now."""
    record = built(example_log(folder), folder, pages)
    html = (record.folder / "20261121T201726Z-http-service.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for words in (
        "An HTTP service is slow or failing",
        "automation/alertmanager",
        "threshold = 0.5",
        "after 3 min 20 s",
        "1 of 2 done",
        "ZeroDivisionError",
        "not run",
        "as it stood at 28 entries",
    ):
        assert words in text, words
    assert "0 of 2 done" not in text
    assert re.search(r'id="cell-act".*?rec-is-failed', html, re.DOTALL)
    assert 'href="index.html"' in html


def test_the_printed_check_verifies_with_nothing_but_python(folder, pages):
    """The snippet in the index, run in the record's folder, agrees; and it finds a change."""
    log = example_log(folder)
    record = built(log, folder, pages)
    html = record.index.read_text(encoding="utf-8")
    assert "import hashlib, json" in html
    done = run_check(record.folder)
    assert done.stdout.strip() == f"whole: {len(log.entries)} entries, head {log.entries[-1].hash}"
    path = record.folder / LOG
    path.write_bytes(path.read_bytes().replace(b"Restart the pool", b"Restart the pond"))
    assert run_check(record.folder).returncode != 0


def run_check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the printed check as a stranger would."""
    return subprocess.run(
        [sys.executable, "-I", "-c", CHECK],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_changed_byte_is_found(folder, pages):
    """A flipped bit anywhere, in any file but the manifest, is named by its file."""
    record = built(example_log(folder), folder, pages)
    for name, content in contents(record.folder).items():
        if name == MANIFEST:
            continue
        for place in range(0, len(content), max(1, len(content) // 12)):
            changed = bytearray(content)
            changed[place] ^= 1
            (record.folder / name).write_bytes(bytes(changed))
            assert any(name in problem for problem in verify_record(record.folder)), (name, place)
        (record.folder / name).write_bytes(content)
    assert verify_record(record.folder) == []


def test_missing_and_added_files_are_found(folder, pages):
    """A record is exactly what its manifest names."""
    record = built(example_log(folder), folder, pages)
    (record.folder / "extra.html").write_text("x")
    (record.folder / LOG).unlink()
    problems = verify_record(record.folder)
    assert "extra.html was not archived, and is here." in problems
    assert f"{LOG} is missing." in problems
    (record.folder / MANIFEST).write_text("[]")
    assert len(verify_record(record.folder)) == 1
    (record.folder / MANIFEST).unlink()
    assert "cannot be read" in verify_record(record.folder)[0]


@pytest.mark.parametrize("kind", ["cut", "delete", "swap", "insert", "edit", "relink"])
def test_a_log_rewritten_with_its_manifest_still_fails_on_its_own_chain(folder, pages, kind):
    """Whoever edits log and manifest together is found by the chain, or by an anchor outside."""
    record = built(example_log(folder), folder, pages)
    lines = (record.folder / LOG).read_bytes().splitlines()
    match kind:
        case "cut":
            lines = lines[:-3]
        case "delete":
            del lines[4]
        case "swap":
            lines[4], lines[5] = lines[5], lines[4]
        case "insert":
            lines.insert(4, lines[3])
        case "edit":
            lines[4] = lines[4].replace(b"lab", b"cli").replace(b"alert", b"other")
        case "relink":
            lines[4] = lines[4].replace(json.loads(lines[3])["hash"].encode(), b"0" * 64)
    (record.folder / LOG).write_bytes(b"\n".join(lines) + b"\n")
    found = verify_record(record.folder, anchor=record.head)
    assert [problem for problem in found if problem.startswith(f"{LOG}, line 5")] or kind == "cut"
    assert any("anchor names entry" in problem for problem in found) == (kind == "cut")


def test_a_broken_or_missing_notebook_is_said_and_does_not_stop_the_rest(folder, pages):
    """The record of a bad day is built from what there is."""
    log = example_log(folder)
    for run, text in (("r2", "{not json"), ("r3", '{"nbformat": 3}'), ("r4", "")):
        log.add("run.started", {"run": run, "runbook": "b", "output": f"{run}.ipynb"})
        (folder / f"{run}.ipynb").write_text(text)
    log.add("run.started", {"run": "r5", "runbook": "b", "output": "gone.ipynb"})
    log.add("run.started", {"run": "r6", "runbook": "b"})
    record = built(log, folder, pages)
    html = record.index.read_text(encoding="utf-8")
    assert len(record.problems) == 5
    assert html.count("is unreadable") >= 3
    assert "Notebook gone.ipynb is missing." in html
    assert "not known where its notebook is" in html
    assert verify_record(record.folder) == []


def test_a_run_that_never_ended_is_said_to_have_not_ended(folder, pages):
    """What a dead runner left is shown as far as it went."""
    log = Log()
    folder.mkdir()
    node = notebook(code("a", "print(1)", printed("1\n")), code("b", "print(2)", count=None))
    (folder / "half.ipynb").write_text(json.dumps(node))
    log.add("incident.opened", {"title": "T"})
    log.add("run.started", {"run": "r", "runbook": "b", "output": "half.ipynb"})
    log.add("step.started", {"run": "r", "step": "a", "index": 0})
    record = built(log, folder, pages)
    page = (record.folder / "half.html").read_text(encoding="utf-8")
    assert "had not ended when this record was built" in page
    assert "running" in page
    assert "not run" in page


def test_several_sittings_at_one_notebook_share_its_page(folder, pages):
    """One notebook is one page, which names every run that wrote it."""
    log = example_log(folder)
    path = log.incident.runs[0].output_path
    log.add("run.started", {"run": "sit-2", "runbook": "b", "output": path, "by_hand": True})
    log.add("step.finished", {"run": "sit-2", "step": "after", "status": "completed"})
    record = built(log, folder, pages)
    pages_made = [name for name in contents(record.folder) if name.endswith(".html")]
    assert len(pages_made) == 2
    html = (record.folder / pages_made[0]).read_text() + (record.folder / pages_made[1]).read_text()
    assert "sit-2" in html
    assert "Work by hand" in html


def test_an_unsaved_notebook_is_said_in_index_manifest_and_page(folder, pages):
    """What ran by hand after the last save is missing from the record, and is said to be."""
    log = Log()
    folder.mkdir()
    node = notebook(code("a", "print(1)", count=None), code("b", "print(2)", count=None))
    (folder / "by-hand.ipynb").write_text(json.dumps(node))
    log.add("incident.opened", {"title": "T"})
    for run in ("s1", "s2"):
        sitting = {"run": run, "runbook": "b", "output": "by-hand.ipynb", "by_hand": True}
        log.add("run.started", sitting)
        for cell in ("a", "b"):
            log.add("step.finished", {"run": run, "step": cell, "status": "completed"})
    record = built(log, folder, pages)
    said = (
        "The saved notebook is older than the log: 2 cells ran whose results it does not hold. "
        "Save it and build the record again."
    )
    assert record.problems == (f"Run s2: {said}",)
    assert json.loads((record.folder / MANIFEST).read_text())["problems"] == [f"Run s2: {said}"]
    assert said in record.index.read_text(encoding="utf-8")
    assert said in (record.folder / "by-hand.html").read_text(encoding="utf-8")


def test_evidence_that_is_not_what_was_kept_is_said_loudly(folder, pages):
    """Changed, missing or foreign files are never passed off as evidence."""
    log = example_log(folder)
    kept = log.incident.evidence
    (folder / kept[0].path).write_bytes(b"another picture")
    (folder / kept[1].path).unlink()
    log.add("evidence.added", {"title": "x", "path": "../../../etc/passwd", "sha256": "0" * 64})
    log.add("evidence.added", {"title": "nul", "path": "a\0b", "sha256": "0" * 64})
    record = built(log, folder, pages)
    html = record.index.read_text(encoding="utf-8")
    assert html.count("Do not rely on this evidence") == 4
    assert "its file is not what was kept" in html
    assert "its file is missing" in html
    assert "leads out of the incident" in html
    assert not (record.folder / "evidence").exists()
    assert len(record.problems) == 4


def test_a_record_grows_with_its_log_and_another_logs_record_is_kept(folder, pages):
    """The earlier record of the same log is replaced; one that this log does not continue is
    set beside, never destroyed.
    """
    log = example_log(folder)
    first = built(log, folder, pages)
    log.add("note.added", {"text": "later"})
    second = built(log, folder, pages)
    assert second.head.count == first.head.count + 1
    assert [path.name for path in folder.glob("record*")] == ["record"]
    other = Log()
    other.add("incident.opened", {"title": "The log was lost, and begun anew"})
    built(other, folder, pages)
    kept = folder / f"record-kept-{second.head.hash[:12]}"
    assert verify_record(kept) == []
    assert verify_record(folder / "record") == []


def test_a_folder_that_cannot_be_written_is_an_error_with_a_way_out(folder, pages):
    """A file where the folder should be is named; nothing else is touched."""
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    with pytest.raises(RecordError) as caught:
        built(Log(), folder, pages)
    assert str(folder) in str(caught.value)
    assert caught.value.hint


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from record_examples import built, example_log
from imtkit.record import Pages, verify_record

folder, pages = Path(sys.argv[1]), Pages()
log = example_log(folder)

built(log, folder, pages)
began = time.monotonic()
built(log, folder, pages)
took = time.monotonic() - began
for share in range(16):
    child = os.fork()
    if child == 0:
        while True:
            built(log, folder, pages)
    time.sleep(took * (0.1 + share / 8))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for problem in verify_record(folder / "record"):
        print(share, problem)
built(log, folder, pages)
print("done")
"""


def test_a_builder_killed_at_any_moment_leaves_a_whole_record(folder):
    """Killed (-9) at sixteen different moments of building, it leaves the old record or the new
    one, whole; and the next build clears up after it.
    """
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout == "done\n", done.stderr
    assert [path.name for path in folder.glob("record*")] == ["record"]
    assert [path.name for path in folder.glob(".record*")] == [".record.lock"]


def test_an_unfinished_draft_and_a_record_stepped_aside_are_cleared_up(folder, pages):
    """What a killed builder leaves on any file system is swept, or put back."""
    log = example_log(folder)
    record = built(log, folder, pages)
    (folder / ".record-abc").mkdir()
    (folder / ".record-abc" / "index.html").write_text("half")
    record.folder.rename(folder / ".record-aside")
    built(log, folder, pages)
    assert verify_record(folder / "record") == []
    assert [path.name for path in folder.glob(".record*")] == [".record.lock"]


def test_the_template_also_serves_plain_nbconvert(tmp_path):
    """``nbconvert --template`` gives a page without script or request, too."""
    source = tmp_path / "n.ipynb"
    source.write_text(json.dumps({**diagnosis(), "metadata": {}}))
    templates = Path(__file__).parents[2] / "templates"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--to", "html", "--template", "record"),
            f"--TemplateExporter.extra_template_basedirs={templates}",
            str(source),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "n.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "Content-Security-Policy" in html
    assert "first byte" in html


def test_a_really_executed_notebook_is_shown_whole(tmp_path, folder, pages):
    """Figure, table, error, colours, widget: run in a real kernel, drawn without losing any."""
    import nbformat
    from nbclient import NotebookClient

    node = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source)
            for source in (
                "import pandas as pd\npd.DataFrame({'phase': ['dns'], 'ms': [1.5]})",
                "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]); plt.show()",
                "import sys\nprint('\\x1b[31mred\\x1b[0m <b>plain</b>')\nsys.stderr.write('warn')",
                "import ipywidgets\nipywidgets.IntSlider(value=3)",
                "{}['absent']",
            )
        ]
    )
    NotebookClient(node, kernel_name="python3", timeout=120, allow_errors=True).execute()
    path = tmp_path / "real.ipynb"
    nbformat.write(node, path)
    html = pages.page(path, example_log(folder).incident)
    assert 'class="dataframe"' in html
    assert 'src="data:image/png;base64,' in html
    assert '<span class="ansi-red-fg">red</span> &lt;b&gt;plain&lt;/b&gt;' in html
    assert "IntSlider(value=3" in html
    assert "KeyError" in html
    assert "warn" in html
    assert "<script" not in html
    assert len(html.encode()) < 100_000

"""The whole of a big output is part of the record: linked, hashed, and checked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from notebook_files import code, write_notebook
from record_examples import BUILT, ID, Log, line_of
from record_examples import notebook as empty_notebook

from imtkit.kit import open_desk, records, runs
from imtkit.record import build_record, verify_record


def test_what_a_run_put_out_is_in_the_record_in_full(workspace: Path) -> None:
    """The index links the file and gives its SHA-256; the record verifies."""
    cells = [code("long", "for n in range(3000): print('line', n)")]
    write_notebook(workspace / "runbooks" / "long.ipynb", cells)
    with open_desk(workspace, actor="Ann Example") as desk:
        run = runs.start(desk, "long", mode="test")
        record = records.build(desk, run.incident)
    assert record.problems == ()
    [kept] = (record.folder / "outputs").iterdir()
    content = kept.read_bytes()
    assert content.decode() == "".join(f"line {n}\n" for n in range(3000))
    sha256 = hashlib.sha256(content).hexdigest()
    page = record.index.read_text()
    assert f'href="outputs/{kept.name}"' in page
    assert page.count(sha256) >= 1
    manifest = json.loads((record.folder / "manifest.json").read_text())
    assert {one["path"]: one["sha256"] for one in manifest["files"]}[
        f"outputs/{kept.name}"
    ] == sha256
    assert verify_record(record.folder) == []


def test_a_file_that_is_not_what_was_kept_is_said_to_be_none(tmp_path: Path) -> None:
    """Missing, changed, of an unknown run, or with a name that leads elsewhere."""
    folder = tmp_path / ID
    folder.mkdir()
    (folder / "a.ipynb").write_text(json.dumps(empty_notebook()))
    (folder / "changed.txt").write_text("other")
    (tmp_path / "secret.txt").write_text("not ours")
    log = Log()
    log.add("incident.opened", {"title": "x"})
    log.add("run.started", {"run": "r", "runbook": "a", "output": f"outputs/{ID}/a.ipynb"})
    sha256 = hashlib.sha256(b"not ours").hexdigest()
    for run, file in (
        ("r", "missing.txt"),
        ("r", "changed.txt"),
        ("other", "changed.txt"),
        ("r", "../secret.txt"),
        ("r", ".."),
        ("r", "nul\0.txt"),
    ):
        told = {"file": file, "sha256": sha256, "size": 8, "dropped": 2_000_000}
        data = {"run": run, "step": "s", "status": "completed", "whole_output": told}
        log.add("step.finished", data)
    log.add("step.finished", {"run": "r", "step": "s", "whole_output": "odd"})
    record = build_record(
        log.incident,
        folder,
        notebooks={"r": folder / "a.ipynb"},
        line_of=line_of,
        built_at=BUILT,
    )
    assert not list((record.folder / "outputs").iterdir())
    said = [one for one in record.problems if "whole output" in one]
    assert len(said) == 6
    assert "its file is missing" in said[0]
    assert "not what was kept" in said[1]
    assert "not known where" in said[2]
    page = record.index.read_text()
    assert page.count("Do not rely on this output") == 6
    assert "1.9 MiB more were too much to be kept" in page
    assert verify_record(record.folder) == []

"""papermill's own options for where outputs are told work with --engine imt as with its own."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import papermill
import pytest
from notebook_files import code, write_notebook

SAID = "import sys\nprint('out', token)\nsys.stdout.flush()\nprint('err', file=sys.stderr)\n6 * 7"


def run(path: Path, engine: str) -> tuple[str, str]:
    """What a run writes to the caller's two files."""
    out, err = io.StringIO(), io.StringIO()
    papermill.execute_notebook(
        path,
        path.with_name(f"{engine}.ipynb"),
        engine_name=engine,
        progress_bar=False,
        log_output=True,
        stdout_file=out,
        stderr_file=err,
    )
    return out.getvalue(), err.getvalue()


def test_outputs_are_told_to_files_and_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the stock engine tells them, and without secrets."""
    path = write_notebook(tmp_path / "a.ipynb", [code("p", "token = 'x'"), code("say", SAID)])
    caplog.set_level(logging.INFO, "papermill")
    told = {}
    for engine in ("nbclient", "imt"):
        caplog.clear()
        assert run(path, engine) == ("out x\n", "err\n")
        cells = [one for one in caplog.records if one.message.startswith(("Exec", "End"))]
        said = [one for one in caplog.records if one.message in ("out x\n", "err\n", "42")]
        assert len(cells) >= 4
        told[engine] = sorted((one.levelname, one.message) for one in said)
    assert told["imt"] == told["nbclient"]
    monkeypatch.setenv("PD_TOKEN", "zq-Canary-9")
    given = code("p", 'token = "secret://env/PD_TOKEN"', "parameters")
    path = write_notebook(tmp_path / "b.ipynb", [given, code("say", SAID)])
    caplog.clear()
    out = io.StringIO()
    papermill.execute_notebook(
        path,
        tmp_path / "c.ipynb",
        parameters={"token": "secret://env/PD_TOKEN"},
        engine_name="imt",
        progress_bar=False,
        log_output=True,
        stdout_file=out,
    )
    assert out.getvalue() == "out [secret token]\n"
    assert "zq-Canary-9" not in caplog.text

"""Truth under fire: runs broken at random moments, their record held against what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "truth.py"


def test_the_record_of_broken_runs_is_true(tmp_path: Path):
    """No step is called completed that was not, none is lost, no kernel or socket is left."""
    words = ("--runs", "12", "--papermill", "0", "--json", "--folder", str(tmp_path))
    done = subprocess.run(
        [sys.executable, str(BENCH), *words],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert sum(row["runs"] for row in rows) == 12

"""Who may import whom (the contracts stand in pyproject.toml), and what stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOADED = """
import sys
{statement}
print(*{{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names))
"""
LIGHT = {
    # what somebody types -> the foreign libraries that this may load
    "import imtkit": set(),
    "import imtkit.cli": set(),
    "from imtkit.cli import main; main(['--version'])": {"click"},
    "from imtkit.cli import main; main(['incident', 'open', '--help'])": {
        "click",
        "typing_extensions",
    },
    "import imtkit.model.fold, imtkit.errors": set(),
    "from imtkit import Desk, open_desk": {"typing_extensions"},
}


def test_imports_only_go_down_and_each_library_has_one_door() -> None:
    """import-linter keeps every contract of pyproject.toml."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(linter), "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("statement", "may_load"), LIGHT.items(), ids=list(LIGHT))
def test_light_imports_stay_light(statement: str, may_load: set[str]) -> None:
    """Nobody waits for papermill, SQLAlchemy or IPython who only asks for help or a name."""
    code = LOADED.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.splitlines()[-1].split())
    assert names - {"imtkit", "__main__", "_virtualenv"} <= may_load


CHECKS_AN_IRI = """
import sys
from imtkit.cli import main
main(["--version"])
import nbformat
assert "lark" not in sys.modules
from rfc3986_validator import validate_rfc3986
assert validate_rfc3986.__name__ == "check"
from jsonschema import Draft202012Validator
checks = Draft202012Validator.FORMAT_CHECKER
assert checks.conforms("https://shop.example/käse", "iri")
assert "lark" in sys.modules
assert not checks.conforms("no iri", "iri")
assert checks.conforms("no-iri-but-relative", "iri-reference")
assert checks.conforms("https://shop.example/", "uri")
assert not checks.conforms("no uri", "uri")
"""


def test_no_command_waits_for_checks_that_it_does_not_make() -> None:
    """Reading notebooks loads no checks of URIs and IRIs, which are there once one is checked."""
    subprocess.run([sys.executable, "-I", "-c", CHECKS_AN_IRI], capture_output=True, check=True)


USES_REQUESTS = """
import sys
from imtkit.runs.later import put_off_requests
put_off_requests()
import papermill
assert "urllib3" not in sys.modules
import requests
from requests.adapters import HTTPAdapter
assert isinstance(requests.Session().adapters["https://"], HTTPAdapter)
"""


def test_a_run_does_not_wait_for_what_fetches_notebooks_from_the_web() -> None:
    """Papermill comes without requests, which is whole as soon as somebody uses it."""
    subprocess.run([sys.executable, "-I", "-c", USES_REQUESTS], capture_output=True, check=True)


@pytest.mark.parametrize(
    "module", ["imtkit.runs.execute", "imtkit.runs.execution", "imtkit.runs.marks", "papermill"]
)
def test_notebooks_may_be_mended_before_papermill_is_there(module: str) -> None:
    """Papermill imports our engine with itself: whatever comes first, that goes in no circle."""
    names = f"{module}, imtkit.runs.marks, imtkit.runs.execution, papermill"
    subprocess.run([sys.executable, "-I", "-c", f"import {names}"], capture_output=True, check=True)


OPENS_A_LOG = """
import sys
from imtkit.store import open_store
open_store(sys.argv[1]).close()
open_store(sys.argv[1]).close()
print(*sys.modules)
"""


def test_a_log_in_a_file_loads_no_other_database(tmp_path: Path) -> None:
    """Nor does opening a log that is of this version load what migrates older ones."""
    url = f"sqlite:///{tmp_path}/imt.db"
    command = [sys.executable, "-I", "-c", OPENS_A_LOG, url]
    subprocess.run(command, capture_output=True, check=True)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"alembic", "psycopg", "sqlalchemy.dialects.postgresql"} & loaded

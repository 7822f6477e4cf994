"""The form of the runbooks that ship."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from imtkit.config import load_settings
from imtkit.runs.lint import lint_runbook
from imtkit.runs.runbook import read_runbook

RUNBOOKS = sorted((Path(__file__).resolve().parents[2] / "runbooks").glob("*.ipynb"))
shipped = pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)


def test_the_three_runbooks_ship() -> None:
    """An HTTP service, PostgreSQL and a host each have one."""
    assert {"http-service", "postgres", "host"} <= {path.stem for path in RUNBOOKS}


@shipped
def test_the_linter_has_nothing_to_say(path: Path, workspace: Path) -> None:
    """Metadata, parameters, ids, no outputs, diagnosis before action: all as the linter asks."""
    assert lint_runbook(path, load_settings(workspace).severities) == []


@shipped
def test_it_is_a_valid_notebook_with_readable_step_ids(path: Path) -> None:
    """Format 4.5, saved without counts or outputs; each step's id is made of plain words."""
    document = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(document)
    assert document["nbformat_minor"] == 5
    for cell in document["cells"]:
        assert cell["id"].replace("-", "").isalpha()
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@shipped
def test_every_parameter_is_typed_and_described_and_only_a_target_must_be_given(path: Path) -> None:
    """Thresholds have defaults; what is looked at has none, as no default could be right."""
    parameters = read_runbook(path).parameters
    assert parameters[0].name == "incident_id"
    for parameter in parameters:
        assert parameter.type
        assert parameter.help
        assert parameter.is_required is (parameter.name in ("url", "dsn"))


@shipped
def test_nothing_that_alerts_may_fill_in_acts(path: Path) -> None:
    """Actions take their values from the cell a person fills in, never from parameters."""
    document = json.loads(path.read_text(encoding="utf-8"))
    names = {one.name for one in read_runbook(path).parameters} - {"dsn"}
    actions = [
        "".join(cell["source"])
        for cell in document["cells"]
        if "action" in cell["metadata"].get("tags", [])
    ]
    assert actions
    for source in actions:
        assert not [name for name in names if name in source]

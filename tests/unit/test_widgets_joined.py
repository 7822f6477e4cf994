"""The verbs of a joined incident, their displays, and the front door."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from imtkit.errors import InputError, NotFoundError
from imtkit.kit import Desk, incidents, open_desk
from imtkit.model.opening import Opening
from imtkit.widgets.door import join
from imtkit.widgets.joined import JoinedIncident, span


@pytest.fixture
def joined(desk: Desk) -> JoinedIncident:
    """A new incident as a notebook holds it."""
    return JoinedIncident(desk, incidents.open_(desk, Opening("Checkout answers 502")).id)


def test_verbs_write_to_the_log_and_show_what_they_wrote(joined: JoinedIncident) -> None:
    """Notes, decisions, tasks, roles and fields are in the log; text from outside is escaped."""
    note = joined.note("Lag <script>alert(1)</script>\x1b[31m")
    decision = joined.decide("Fail over", "the primary is gone")
    task = joined.ask("Call the vendor", "Bob", within="10m")
    joined.done(task)
    joined.assign("scribe", "Cid").set(cause="a long transaction").acknowledge()
    state = joined.state
    assert "<script>" not in note._repr_mimebundle_()["text/html"]  # type: ignore[operator]
    assert "\x1b" not in repr(note)
    assert note.value.data["text"].startswith("Lag")
    assert "Fail over" in repr(decision)
    assert state.decisions[0].reason == "the primary is gone"
    assert task.value.due_at == joined._desk.clock.now() + timedelta(minutes=10)
    assert state.tasks[0].done_at is not None
    assert dict(state.roles) == {"scribe": "Cid"}
    assert (state.status, state.fields["cause"]) == ("acknowledged", "a long transaction")
    assert joined.id in repr(joined)
    assert "Fail over" in repr(joined.timeline())


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("15 min", 900), ("2h", 7200), ("1D", 86400)]
)
def test_spans_are_read_as_people_write_them(text: str, seconds: int) -> None:
    """Seconds, minutes, hours and days, in any case."""
    assert span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "10", "-5m", "1.5h"])
def test_other_spans_are_refused(text: str) -> None:
    """What is not a duration is an error that says how to write one."""
    with pytest.raises(InputError) as caught:
        span(text)
    assert "10m" in caught.value.hint


def test_the_front_door_loads_nothing() -> None:
    """``import imtkit`` loads no other module of ours and nothing heavy; its names work."""
    code = (
        "import sys; before = set(sys.modules); import imtkit; "
        "new = set(sys.modules) - before; "
        "print([one for one in new if one.split('.')[0] not in sys.stdlib_module_names]); "
        "imtkit.ImtkitError; imtkit.__version__"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['imtkit']"


@pytest.fixture
def somebody(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ann Example in the workspace, in plain Python."""
    monkeypatch.setenv("IMT_USER", "Ann Example")
    monkeypatch.chdir(workspace)
    return workspace


def opened(title: str) -> str:
    """The id of a new incident in the workspace's own log."""
    with open_desk(actor="Ann Example") as desk:
        return incidents.open_(desk, Opening(title)).id


def test_join_finds_the_nearest_name(somebody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over the environment, which wins over the folder."""
    told, named, folder = opened("told"), opened("named"), opened("folder")
    place = somebody / "outputs" / folder / "deeper"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    found = [join()]
    monkeypatch.setenv("IMT_INCIDENT", named)
    found += [join(), join(told.lower())]
    assert [one.id for one in found] == [folder, named, told]
    assert found[0].actor == "Ann Example"
    for one in found:
        one._desk.close()


def test_join_says_which_name_led_nowhere(somebody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An incident that is named and does not exist is an error that says who named it."""
    monkeypatch.setenv("IMT_INCIDENT", "INC-1999-0001")
    with pytest.raises(NotFoundError, match="It is named by IMT_INCIDENT"):
        join()


def test_join_opens_an_incident_and_says_so(
    somebody: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing names one, one is opened, with the given title, visibly."""
    made = join(title="Payments are slow", severity="sev2", services=["payments"], mode="drill")
    state = made.state
    assert (state.title, state.severity, state.mode) == ("Payments are slow", "sev2", "drill")
    assert state.services == ("payments",)
    assert f"opened: {made.id}" in capsys.readouterr().err
    made._desk.close()

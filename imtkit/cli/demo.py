"""``imt demo``: the main job on a real small service."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imtkit.cli.face import Face, Verb, pass_face, writes
from imtkit.errors import StateError, WorkspaceError
from imtkit.model.words import one_line, visible

if TYPE_CHECKING:
    from imtkit.cli.progress import OnStep
    from imtkit.demo.diagnosis import Diagnosis
    from imtkit.demo.play import Ending
    from imtkit.kit import Desk
    from imtkit.runs.runbook import Runbook

FOLDER = "imt-demo"
_LEVEL_STYLES = {"critical": "bold red", "warning": "yellow", "ok": "green"}


@click.command(cls=Verb, examples=("imt demo", "imt demo --fault crash", "imt demo --no-fault"))
@click.option(
    "--fault",
    type=click.Choice(("hang", "crash", "none")),
    default="hang",
    show_default=True,
    help="What happens to the dependency.",
)
@click.option("--no-fault", is_flag=True, help="The same as --fault none.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"Else the workspace around, else ./{FOLDER}.",
)
@click.option("--yes", is_flag=True, help="Ask nothing; the demo decides, as automation.")
@writes
@pass_face
def demo(face: Face, fault: str, no_fault: bool, into: Path | None, yes: bool) -> None:
    """Break a real small service, and bring it through an incident.

    Its dependency really fails, the alert comes from what was measured, the runbook finds out
    why, and what is done follows from that. All of it runs on this machine and ends with it.
    """
    from imtkit.demo.play import Play
    from imtkit.demo.scene import scene_played
    from imtkit.demo.watcher import Watcher

    is_asking = face.is_asking and not yes
    with _desk(face, into, is_asking=is_asking) as desk, scene_played() as scene:
        voice = Terminal(face, is_asking=is_asking)
        watcher = Watcher(scene.url, scene.health_url)
        ending = Play(desk, scene, voice, watcher).perform("none" if no_fault else fault)
        _give(face, desk, ending)


def _desk(face: Face, into: Path | None, *, is_asking: bool) -> Desk:
    """The desk of the workspace to play in, made where there is none."""
    from imtkit import config
    from imtkit.cli.init import make_workspace

    try:
        root = into.resolve() if into else face.settings().root
    except WorkspaceError:
        root = Path.cwd() / FOLDER
    if not (root / config.FILE).is_file():
        make_workspace(root)
    face.say(f"The workspace: {root}")
    face.workspace = root
    face.actor = (face.person() if is_asking else face.actor or config.known_person()) or _login()
    return face.desk()


def _login() -> str:
    """The name of the login: a demo asks no more of a machine that knows nobody."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "demo"


class Terminal:
    """The demo's voice on a terminal: talk on stderr, in colour where there is any."""

    def __init__(self, face: Face, *, is_asking: bool) -> None:
        self._face = face
        self.is_asking = is_asking
        self._console = face.console(is_talk=True)

    def begin(self, act: str) -> None:
        """A heading for a new act."""
        self._console.print(f"\n{act}", style="bold")

    def say(self, text: str) -> None:
        """One line, indented; nothing where there is nothing to say."""
        if not text:
            return
        self._console.print(f"  {one_line(text, most=400)}", soft_wrap=True)

    def show(self, diagnosis: Diagnosis) -> None:
        """What the run found, worst first."""
        from rich.text import Text

        for one in diagnosis.findings:
            told = Text.assemble("  ", (one.level.upper(), _LEVEL_STYLES[one.level]), "  ")
            self._console.print(told.append(visible(one.what)), soft_wrap=True)
            for line in (one.grounds, one.next_step and f"Next: {one.next_step}"):
                if line:
                    said = Text(f"     {one_line(line, most=400)}", style="dim")
                    self._console.print(said, soft_wrap=True)

    def agree(self, question: str) -> bool:
        """The answer of whoever sits there; only an answer that was typed is one."""
        return click.confirm(f"  {one_line(question, most=400)}", default=None, err=True)

    @contextmanager
    def _watch(self, runbook: Runbook) -> Iterator[OnStep]:
        from imtkit.cli.progress import watched

        with watched(self._face, runbook) as on_step:
            yield on_step

    def watch(self, runbook: Runbook) -> AbstractContextManager[OnStep]:
        """The steps of a run, as they go."""
        return self._watch(runbook)


def _give(face: Face, desk: Desk, ending: Ending) -> None:
    """Print where everything is; StateError when something that should be true is not."""
    from imtkit.kit.documents import incident_document

    document = {
        "incident": incident_document(ending.incident, desk.settings.root),
        "found": ending.found.findings,
        "blamed": ending.found.blamed,
        "repaired": ending.repaired,
        "afterwards": ending.afterwards.findings,
        "record": ending.record,
        "page": ending.page,
        "doubts": ending.doubts,
        "left_open": ending.left_open,
    }
    lines = [f"{ending.incident.id} is {ending.incident.status}."]
    lines += [f"  The record:    {ending.record}"]
    lines += [
        f"  A notebook:    {desk.settings.root / run.output_path}" for run in ending.incident.runs
    ]
    lines += [f"  Left open:     {text}" for text in ending.left_open]
    if ending.page:
        lines.append(f"  The page:      {ending.page}")
    workspace = shlex.quote(str(desk.settings.root))
    lines.append(f"  The log:       imt --workspace {workspace} incident show {ending.incident.id}")
    face.give(document, "\n".join(lines))
    if ending.doubts:
        raise StateError(f"The demo did not hold: {' '.join(ending.doubts)}")

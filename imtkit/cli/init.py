"""``imt init``: make a folder a workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from imtkit.cli.face import Face, Verb, everywhere, pass_face
from imtkit.errors import WorkspaceError

STARTER = "first-steps"
IGNORED = ("/outputs/*", "!/outputs/.gitkeep", ".ipynb_checkpoints/")
"""What runs leave behind is no source: it may hold what only responders should read."""


@click.command(cls=Verb, examples=("imt init .",))
@click.argument(
    "folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path)
)
@everywhere
@pass_face
def init(face: Face, folder: Path) -> None:
    """Make a folder a workspace; what is there already stays as it is."""
    root = folder.expanduser().resolve()
    made = make_workspace(root)
    said = [f"{root} is a workspace."]
    said += [f"  made {path.relative_to(root)}" for path in made]
    face.give({"workspace": root, "made": made}, "\n".join(said))
    where = "" if root == Path.cwd() else f"cd {folder} && "
    face.say(f"Next: read {root / 'imt.toml'}, then: {where}imt incident open --title …")
    face.say("See it all work: imt demo. In JupyterLab: imt lab")


def make_workspace(root: Path) -> list[Path]:
    """Make a workspace of a folder, never over what is there; the files that were made.

    WorkspaceError when the folder cannot be written.
    """
    from imtkit import config
    from imtkit.kit import runbooks

    made = []
    try:
        (root / "outputs").mkdir(parents=True, exist_ok=True)
        (root / "runbooks").mkdir(exist_ok=True)
        for path in (root / config.FILE, root / "outputs" / ".gitkeep"):
            if not path.exists():
                made.append(path)
        if root / config.FILE in made:
            shutil.copyfile(config.shipped("templates") / config.FILE, root / config.FILE)
        (root / "outputs" / ".gitkeep").touch()
        if _ignore(root / ".gitignore"):
            made.append(root / ".gitignore")
    except OSError as error:
        raise WorkspaceError(
            f"{root} cannot be made a workspace: {error.filename}: {error.strerror}.",
            hint="Choose a folder you may write to: imt init DIR",
        ) from error
    settings = config.load_settings(root)
    if not any((root / "runbooks").glob("*.ipynb")):
        made.append(runbooks.new(settings, STARTER, title="First steps"))
    return made


def _ignore(path: Path) -> bool:
    """Whether lines were added, so that git leaves outputs alone."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    new = [line for line in IGNORED if line not in lines]
    if not new:
        return False
    path.write_text("\n".join([*lines, *new]) + "\n", encoding="utf-8")
    return True

"""What a file of a workspace is called from its root, also where a folder is a link to elsewhere.

``outputs/`` may be a link, such as to a volume that machines share: followed, its files lie
outside the workspace, and all the same they are the workspace's.
"""

from __future__ import annotations

import os
from pathlib import Path

_LINKED = ("outputs", "runbooks")


def place_in(root: Path, path: Path) -> str:
    """A file's path from the workspace's root, with '/'; ValueError when it is not the workspace's.

    The same file has the same name, by whichever way one came to it.
    """
    real = path.resolve()
    for name in _LINKED:
        folder = (root / name).resolve()
        if real.is_relative_to(folder):
            return Path(name, real.relative_to(folder)).as_posix()
    return real.relative_to(root.resolve()).as_posix()


def place_below(root: Path, path: Path) -> str:
    """A file's path from a folder that somebody is shown, with '/'; ValueError when it is outside.

    Links are followed only where the path as it is written leads nowhere in the folder.
    """
    written = Path(os.path.abspath(path))  # noqa: PTH100 # Path.resolve() would follow links
    for above in (root, root.resolve()):
        if written.is_relative_to(above):
            return written.relative_to(above).as_posix()
    return path.resolve().relative_to(root.resolve()).as_posix()

"""Folders of sockets and kernel pools: whose they are, and what is left when their owner is gone.

A folder of sockets lies in the system's temporary folder and holds a file that names its owner.
A pool's processes carry the name of its folder among their arguments, so that they are found
whatever moment their owner was killed at.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from imtkit.runs.lease import (
    Process,
    kill_group,
    kill_kernels_at,
    remove_sockets,
    this_process,
)

PROGRAM = "from imtkit.runs.forkserver import main; main()"
"""What Python is given to run as a fork server; kernels that are forked keep it."""

_PREFIX = "imt-"
_MARK = "owner.json"


def socket_folder() -> Path:
    """A new private folder for sockets, with a short path, that names this process as its owner."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # 0700
    (folder / _MARK).write_text(json.dumps(asdict(this_process())), encoding="utf-8")
    return folder


def lease_pool(leases: Path, folder: Path) -> Path:
    """Write down that this process keeps a pool of kernels with this folder; the lease's file."""
    leases.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = leases / f"pool-{folder.name}.json"
    told = {"pool": str(folder), "owner": asdict(this_process())}
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def clear(leases: Path) -> None:
    """End pools and kernels, and remove folders of sockets, whose owner was here and is gone.

    Pools are those with a lease in ``leases``, where what a server that is gone said of itself
    is removed too; folders, and the kernels that listen there, are this user's, whatever
    workspace they served.
    """
    _forget_servers(leases)
    gone = []
    for path in leases.glob("pool-*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # no lease, or gone by now
            told = json.loads(path.read_text(encoding="utf-8"))
            if Process(**told["owner"]).is_gone and Path(told["pool"]).name.startswith(_PREFIX):
                gone.append(Path(told["pool"]))
                path.unlink(missing_ok=True)
    beside = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")
    gone += [folder for folder in beside if _is_ours(folder) and _is_orphan(folder)]
    if gone:
        _kill_forked_for(gone)
        kill_kernels_at(gone)
    for folder in gone:
        remove_sockets(folder)


def _forget_servers(leases: Path) -> None:
    """Remove the files, with their tokens, of Jupyter servers that are gone."""
    for path in leases.glob("server-*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if Process(**json.loads(path.read_text(encoding="utf-8"))["process"]).is_gone:
                path.unlink(missing_ok=True)


def _is_ours(folder: Path) -> bool:
    """Whether only this user can have made it: nobody else's mark is believed."""
    try:
        told = folder.lstat()
    except OSError:
        return False
    is_private = stat.S_ISDIR(told.st_mode) and told.st_mode & 0o777 == 0o700
    return is_private and told.st_uid == os.getuid()


def _is_orphan(folder: Path) -> bool:
    try:
        return Process(**json.loads((folder / _MARK).read_text(encoding="utf-8"))).is_gone
    except (OSError, ValueError, TypeError):
        return False


def _kill_forked_for(folders: Collection[Path]) -> None:
    """Kill the fork servers of these folders, and the kernels that were forked from them."""
    names = {str(folder).encode() for folder in folders}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            arguments = path.read_bytes().split(b"\0")
            if PROGRAM.encode() in arguments and not names.isdisjoint(arguments):
                kill_group(int(path.parent.name))

"""Start a run's kernel before all else: it comes up while the rest is loaded and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from imtkit.config import Settings
from imtkit.runs import lease as leases
from imtkit.runs.kernels import BegunKernel, KernelFor, Wanted
from imtkit.runs.lease import Lease, this_process
from imtkit.runs.runbook import Runbook


@contextmanager
def kernel_ahead(settings: Settings, runbook: Runbook) -> Iterator[KernelFor | None]:
    """A kernel that starts now, for the run of this runbook that is about to begin.

    It goes to ``runs.Control``, and is ended when no run took it. None where a run must start
    its own: only a Python kernel can be told later which run it is of. KernelError when the
    runbook's kernel is not installed.
    """
    from imtkit.runs.execute import check_kernel

    check_kernel(runbook)
    if runbook.language != "python":
        yield None
        return
    folder = settings.leases
    kernel = BegunKernel(Wanted(runbook.kernel, cwd=settings.root))
    # Whoever finds this lease after our end finds no run of this name, and ends the kernel.
    lease = Lease(f"ahead-{uuid4().hex[:12]}", "", this_process())
    try:
        _keep(folder, lease.on_kernel(0, kernel.sockets))
        kernel.begin()
        _keep(folder, lease.on_kernel(kernel.pid, kernel.sockets))
        yield kernel.taken
    finally:
        kernel.end()
        leases.drop(folder, lease.run)


def _keep(folder: Path, lease: Lease) -> None:
    with suppress(OSError):  # a full disk must not keep a run from going on
        leases.keep(folder, lease)

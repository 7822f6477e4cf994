"""Where the code runs: which notebook, which kernel, which cell, and whether anybody looks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imtkit import config


@dataclass(frozen=True, slots=True)
class Cell:
    """The cell that runs: its front end's id of it (nbclient gives none), and its source."""

    id: str
    source: str

    @property
    def title(self) -> str:
        """Its leading comment; nothing else, because code may hold what no log should."""
        first = self.source.lstrip().split("\n", 1)[0].strip()
        words = first.lstrip("#").strip() if first.startswith("#") else ""
        return words.removeprefix("%%").strip()[:120]


def shell() -> Any | None:  # noqa: ANN401 - IPython ships no types
    """The IPython that runs this code; None in plain Python."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def has_front_end(ip: Any | None) -> bool:  # noqa: ANN401
    """Whether somebody looks on, in JupyterLab or another front end.

    papermill and nbclient run cells with input refused; front ends allow it.
    """
    kernel = getattr(ip, "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


def can_ask(ip: Any | None) -> bool:  # noqa: ANN401
    """Whether a person can be asked something: at a front end, or at IPython's terminal."""
    return has_front_end(ip) or (ip is not None and getattr(ip, "kernel", None) is None)


def running_cell(ip: Any) -> Cell:  # noqa: ANN401
    """The cell that is being run now, from the request that asked for it."""
    kernel = getattr(ip, "kernel", None)
    request = kernel.get_parent("shell") if kernel is not None else {}
    source = str(request.get("content", {}).get("code", ""))
    return Cell(str(request.get("metadata", {}).get("cellId") or ""), source)


def notebook_path(ip: Any | None) -> Path | None:  # noqa: ANN401
    """The notebook's file, as its front end named it when the kernel began; None if unnamed."""
    named = config.notebook_path()
    if not named and ip is not None:
        named = str(ip.user_ns.get("__vsc_ipynb_file__", ""))
    return Path(named) if named.endswith(".ipynb") else None


def kernel_id(ip: Any | None) -> str:  # noqa: ANN401
    """A kernel's name, which a restart keeps; empty where there is none."""
    if ip is None or getattr(ip, "kernel", None) is None:
        return ""
    from ipykernel.connect import get_connection_file

    file = Path(get_connection_file())
    # papermill --engine imt gives each kernel a folder of its own, and the file in it one name.
    return file.parent.name if file.stem == "kernel" else file.stem.removeprefix("kernel-")

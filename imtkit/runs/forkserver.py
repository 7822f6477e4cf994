"""The program that kernels are forked from, and what a kernel does when it is handed out.

    python -c "from imtkit.runs.forkserver import main; main()" FOLDER CONTROL LIFELINE

It loads what runbooks import and then does nothing but fork: it has no thread and no socket but
CONTROL, over which its owner sends orders as lines of JSON. LIFELINE is a pipe to which nobody
ever writes. Its end, and that of CONTROL, is the owner's end: with it all kernels end.
``forks.py`` is the owner's side.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_HISTORY = "--HistoryManager.hist_file=:memory:"
"""IPython's history on disk would keep every parameter."""

NO_SLEEP = "--IPythonKernel._execute_sleep=0"
"""ipykernel rests after each cell for clients that stop listening at its reply; runs and Jupyter's
own pages listen until it is idle. A rest is 1.6 ms.
"""

BACKEND = "module://matplotlib_inline.backend_inline"
_BACKEND_MODULE = BACKEND.partition("//")[2]

KERNEL_MODULES = (
    # what ipykernel and IPython load before, and while, they run the first cells
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "ipykernel.connect",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "pygments.formatters.terminal256",
    "sqlite3",
    "stack_data",
    "tornado.platform.asyncio",
    "tornado.queues",
    _BACKEND_MODULE,
    "matplotlib.backends.backend_agg",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
)
IMTKIT_MODULES = (
    # what ``imt.join()`` needs until it has the log open
    "imtkit.widgets.door",
    "imtkit.widgets.shown",
    "imtkit.runs.forkserver",
    "imtkit.store.log",
    "alembic.command",
    "alembic.runtime.migration",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "pydantic.fields",
    "pydantic.type_adapter",
    "pydantic._internal._validators",
)
COMPANIONS = {
    # what libraries load late, at the first table or picture
    "pandas": ("pandas.io.formats.html", "pandas.io.formats.string"),
}


@dataclass(frozen=True, slots=True)
class Task:
    """What a forked process is to be: the kernel of a connection file, in a folder."""

    file: str
    cwd: str
    environment: Mapping[str, str | None]


def main() -> None:
    """Fork kernels until the owner ends; in each of them, be the kernel."""
    folder, control, lifeline = sys.argv[1:4]
    server = _ForkServer(Path(folder), socket.socket(fileno=int(control)), int(lifeline))
    task = server.serve()
    if task is not None:
        _be_kernel(task)


class _ForkServer:
    def __init__(self, folder: Path, control: socket.socket, lifeline: int) -> None:
        self._folder = folder
        self._control = control
        self._lifeline = lifeline
        self._owner = os.getppid()
        self._children: set[int] = set()
        self._is_retired = False
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> Task | None:
        """Obey until there is nothing left to do; in a fork, what that is to become."""
        kept = b""
        while not (self._is_retired and not self._children):
            both: list[socket.socket | int] = [self._control, self._woken]
            ready, _, _ = select.select(both, [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._bury()
            if self._control in ready:
                heard = self._hear()
                if not heard:
                    self._end()
                    return None
                *lines, kept = (kept + heard).split(b"\n")
                for line in lines:
                    task = self._obey(json.loads(line))
                    if task is not None:
                        return task
        return None

    def _hear(self) -> bytes:
        try:
            return self._control.recv(65536)
        except ConnectionResetError:
            return b""

    def _tell(self, **message: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the end is seen by reading
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _obey(self, order: Mapping[str, Any]) -> Task | None:
        if "load" in order:
            self._load(order["load"])
        elif "fork" in order:
            return self._fork(order)
        elif "retire" in order:
            self._is_retired = True
        return None

    def _load(self, names: Sequence[str]) -> None:
        """Import modules one by one; each is announced, for it may hang or end this process."""
        _stand_where_ipython_does()
        os.environ.setdefault("MPLBACKEND", BACKEND)  # as ipykernel does before the first cell
        seen: set[str] = set()
        for name in _with_companions(names):
            module = name.partition(":")[0]
            self._tell(loading=module)
            why = _import(name)
            if threading.active_count() > 1:
                # A thread does not live on in a fork, and what it held stays locked.
                self._tell(left_out=module, why="it starts a thread", for_good=True)
                os._exit(1)
            if why:
                self._tell(left_out=module, why=why)
            fresh = sys.modules.keys() - seen
            seen |= fresh
            self._tell(files=_stamps(fresh))
        _rehearse_failing()
        # Each kernel must import the backend itself, for that is what ties it to its IPython.
        package = sys.modules.get("matplotlib_inline")
        if sys.modules.pop(_BACKEND_MODULE, None) is not None and package is not None:
            delattr(package, "backend_inline")
        gc.collect()
        gc.freeze()  # or every collection in a kernel would copy all that is shared
        self._tell(loaded=sorted(_site_folders()))

    def _fork(self, order: Mapping[str, Any]) -> Task | None:
        pid = os.fork()
        if pid:
            self._children.add(pid)
            self._tell(forked=order["fork"], pid=pid)
            return None
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an early interrupt must not end it
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._control.close()
        os.close(self._woken)
        os.close(self._waking)
        threading.Thread(
            target=_end_with_owner, args=(self._lifeline,), name="imt-lifeline", daemon=True
        ).start()
        return Task(order["file"], order["cwd"], order["environment"])

    def _bury(self) -> None:
        """Tell of the children that have ended; nobody else's are waited for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._children:
                self._children.discard(pid)
                self._tell(ended=pid, status=os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        """The owner is gone, or wants no more: kill all kernels and what they started."""
        for pid in self._children:
            for kill in (os.killpg, os.kill):
                with suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
        for pid in self._children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        if os.getppid() != self._owner:
            shutil.rmtree(self._folder, ignore_errors=True)


def _rehearse_failing() -> None:
    """Draw a traceback as IPython does: the first takes three times as long as the next."""
    try:
        int("rehearsed")
    except ValueError:
        told = sys.exc_info()
    # Kernels are as good without it, only slower: another IPython may call it otherwise.
    with suppress(ImportError, AttributeError, TypeError):
        tracebacks = importlib.import_module("IPython.core.ultratb")
        tracebacks.AutoFormattedTB(mode="Context", tb_offset=1).structured_traceback(*told)


def _with_companions(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield name
        yield from COMPANIONS.get(name, ())


def _import(name: str) -> str:
    """Import ``a.b``, or ``a.b:c`` where c may be a module of a.b; why it cannot be, or ''."""
    module, _, part = name.partition(":")
    try:
        found = importlib.import_module(module)
        if part and part != "*" and not hasattr(found, part):
            with suppress(ModuleNotFoundError):  # c may be no module, and come into being later
                importlib.import_module(f"{module}.{part}")
    except BaseException as error:  # noqa: BLE001 # somebody else's module may raise anything
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def _stand_where_ipython_does() -> None:
    """Find modules of the working directory, after the standard library and before others'."""
    if sys.flags.safe_path:
        return
    sys.path[:] = [path for path in sys.path if path]
    sites = (n for n, path in enumerate(sys.path) if Path(path).name in _SITES)
    sys.path.insert(next(sites, 0), "")


_SITES = ("site-packages", "dist-packages")


def _site_folders() -> set[str]:
    """Where packages are installed: what comes or goes there changes the folder itself."""
    named = {path for path in sys.path if Path(path).name in _SITES}
    return named | {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}


def _stamps(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The files of modules that are neither Python's own nor installed, and their stamps."""
    own = {*_site_folders(), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    outside = tuple(f"{path}{os.sep}" for path in own)
    found = {}
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and not file.startswith(outside):
            with suppress(OSError):
                told = Path(file).stat()
                found[file] = (told.st_mtime_ns, told.st_size)
    return found


def _end_with_owner(lifeline: int) -> None:
    os.read(lifeline, 1)  # nobody writes: it returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


def _be_kernel(task: Task) -> None:
    """Be the kernel of a connection file until that ends."""
    _be_called("imt-kernel" if task.cwd else "imt-ready")
    settle(task.cwd, task.environment)
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()  # Python's own random does this itself in a fork
    import ipykernel
    from ipykernel.kernelapp import IPKernelApp

    launcher = Path(ipykernel.__file__).parent.parent / "ipykernel_launcher.py"
    arguments = ["-f", task.file, NO_HISTORY, NO_SLEEP]
    sys.argv = [str(launcher), *arguments]
    IPKernelApp.launch_instance(argv=arguments)


def _be_called(name: str) -> None:
    """Have a name of at most 15 letters in the list of processes."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="utf-8")


def settle(cwd: str, changes: Mapping[str, str | None]) -> None:
    """Make this process work in a folder, with these variables set, or removed where None."""
    left = Path.cwd()
    if cwd:
        os.chdir(cwd)
    if Path.cwd() != left:
        _forget_modules_of(left)
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in changes:
        time.tzset()
    importlib.invalidate_caches()


def take_over(cwd: str, changes: Mapping[str, str | None], connection_file: str) -> None:
    """In a kernel that was ready: become the one that its new owner asked for.

    From now on it works in that folder and environment, and goes by that connection file.
    """
    from ipykernel.kernelapp import IPKernelApp

    _be_called("imt-kernel")
    settle(cwd, changes)
    app = IPKernelApp.instance()
    app.connection_file = connection_file
    namespace = app.shell.user_ns
    namespace["_dh"][:] = [Path.cwd()]
    if os.environ.get("JPY_SESSION_NAME"):
        namespace["__session__"] = os.environ["JPY_SESSION_NAME"]


def _forget_modules_of(folder: Path) -> None:
    """Drop modules that were found in the working directory: another one has others."""
    inside = f"{folder}{os.sep}"
    elsewhere = tuple(f"{path.rstrip(os.sep)}{os.sep}" for path in sys.path if path)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", ()))
        if name != "__main__" and any(
            str(place).startswith(inside) and not str(place).startswith(elsewhere)
            for place in places
        ):
            del sys.modules[name]

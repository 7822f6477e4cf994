"""imt.toml and the environment -> Settings; the only reader of both.

A workspace is the folder that holds ``imt.toml``. The environment wins over the file.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imtkit.config.alerts import (
    AlertSettings,
    ServeSettings,
    alert_settings,
    alert_tables,
    roles_of,
    serve_settings,
    serve_tables,
)
from imtkit.config.depot import DepotSettings, depot_settings, depot_tables
from imtkit.config.secrets import is_reference as is_reference
from imtkit.config.secrets import known_secrets as known_secrets
from imtkit.config.secrets import remember_references as remember_references
from imtkit.config.secrets import resolve_secret as resolve_secret
from imtkit.config.shapes import table_of
from imtkit.errors import (
    ConfigError,
    IdentityError,
    InputError,
    NotFoundError,
    WorkspaceError,
    suggestion,
)
from imtkit.model.lifecycle import STATUSES, Owed
from imtkit.model.severity import Severities, Severity, Threshold, threshold_from_text

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, ValidationError

FILE = "imt.toml"
ENVIRONMENT: Mapping[str, str] = {
    "IMT_WORKSPACE": "The workspace folder; else the nearest one upwards that holds imt.toml.",
    "IMT_STORE_URL": "The log's database; wins over [store] url.",
    "IMT_USER": "Who is acting, where no Jupyter server says so.",
    "IMT_INCIDENT": "The incident that imt.join() finds when nothing nearer names one.",
    "IMT_RUN": "Set by imtkit in a run's kernel: the run that its steps belong to.",
    "IMT_SOURCE": "Set by imtkit in a run's kernel: what started the run (cli, alert, lab).",
    "IMT_SECRETS": "Set by imtkit in a run's kernel: the references of its secrets, as JSON.",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the catalogue: who owns it, how its incidents are tagged, and who gets which
    role (``on_call``) when an alert of it comes.
    """

    name: str
    owner: str = ""
    tags: tuple[str, ...] = ()
    on_call: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageSettings:
    """A status page: its address, the reference of its token, component ids by service."""

    name: str
    url: str
    token: str = ""
    title: str = ""
    components: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """How many kernels are kept, for how long, how big: templates/imt.toml tells of each."""

    warm: int
    memory_mb: int
    imports: tuple[str, ...]
    keep_minutes: int
    run_memory_mb: int
    runs_at_once: int
    queued_at_once: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the workspace says. Paths are absolute."""

    root: Path
    name: str
    store_url: str
    severities: Severities
    owed: Owed
    kernels: KernelSettings
    services: Mapping[str, Service]
    status_pages: Mapping[str, PageSettings]
    alerts: AlertSettings = field(default_factory=AlertSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    depot: DepotSettings = field(default_factory=DepotSettings)

    @property
    def outputs(self) -> Path:
        """What runs leave behind."""
        return self.root / "outputs"

    @property
    def leases(self) -> Path:
        """Where it stands which runs, servers and kernels are alive, and whose they are."""
        return self.outputs / ".running"

    @property
    def runbook_folders(self) -> tuple[Path, ...]:
        """Where runbooks are looked for: the workspace's own first, then those that ship."""
        return (self.root / "runbooks", shipped("runbooks"))


def shipped(kind: str) -> Path:
    """The folder of what travels with imtkit: ``runbooks`` or ``templates``."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind


def find_workspace(start: Path | None = None) -> Path:
    """The workspace that ``start`` lies in, else the one that ``IMT_WORKSPACE`` names.

    Without a ``start`` the environment is asked first, then the working directory.
    WorkspaceError when there is none.
    """
    named = os.environ.get("IMT_WORKSPACE", "")
    here = (start or Path.cwd()).resolve()
    above = next((one for one in (here, *here.parents) if (one / FILE).is_file()), None)
    if above is not None and (start is not None or not named):
        return above
    if not named:
        raise WorkspaceError(
            f"There is no workspace in {here} or above it.",
            hint="Make this folder one with: imt init .",
        )
    root = Path(named).expanduser().resolve()
    if not (root / FILE).is_file():
        raise WorkspaceError(
            f"IMT_WORKSPACE names {root}, which has no {FILE}.",
            hint=f"Make it one with: imt init {root}",
        )
    return root


def load_settings(root: Path) -> Settings:
    """The settings of a workspace; ConfigError names file, place and what is expected."""
    path = root / FILE
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"{root} has no {FILE}.", hint=f"Make it a workspace with: imt init {root}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}.",
            hint='Mend that place. A table is written [store], a setting in it: url = "…"',
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", hint="Make it a file that you may read."
        ) from error
    defaults = tomllib.loads((shipped("templates") / FILE).read_text(encoding="utf-8"))
    document = _checked(path, raw)
    merged = {**defaults, **document}
    merged["severity"] = {**defaults["severity"], **document.get("severity", {})}
    merged["lifecycle"] = {**defaults["lifecycle"], **document.get("lifecycle", {})}
    merged["kernels"] = {**defaults["kernels"], **document.get("kernels", {})}
    return _settings(root, merged, path)


def _settings(root: Path, document: Mapping[str, Any], path: Path) -> Settings:
    severities = _severities(document["severity"], path)
    require = document["lifecycle"].get("require", {})
    for state in require:
        if state not in STATUSES:
            raise ConfigError(
                f"{path}: [lifecycle.require] names the state '{state}', which does not exist.",
                hint=suggestion(state, STATUSES),
            )
    return Settings(
        root=root,
        name=document["workspace"].get("name", root.name),
        store_url=_store_url(root, document["store"].get("url", "")),
        severities=severities,
        owed=Owed({state: tuple(names) for state, names in require.items()}),
        kernels=_kernels(document["kernels"], path),
        services={
            name: _service(name, table, path)
            for name, table in document.get("services", {}).items()
        },
        status_pages={
            name: PageSettings(name, **table)
            for name, table in document.get("status_pages", {}).items()
        },
        alerts=alert_settings(document.get("alerts", {}), path),
        serve=serve_settings(document.get("serve", {}), path),
        depot=depot_settings(document.get("outputs", {}), path),
    )


def _service(name: str, table: Mapping[str, Any], path: Path) -> Service:
    on_call = roles_of(table.get("on_call", {}), f"{path}: [services.{name}] on_call")
    return Service(name, table.get("owner", ""), tuple(table.get("tags", ())), on_call)


def _kernels(table: Mapping[str, Any], path: Path) -> KernelSettings:
    for name, value in table.items():
        if isinstance(value, int) and not 0 <= value <= 10**6:
            raise ConfigError(f"{path}: [kernels] {name} = {value} is not from 0 to a million.")
    for name in table["imports"]:
        if not all(part.isidentifier() for part in name.split(".")):
            what = f"{path}: [kernels] imports names '{name}', which is no module."
            raise ConfigError(what, hint='Write what stands after import: "matplotlib.pyplot".')
    at_once = table["runs_at_once"] or 4 * (os.cpu_count() or 1)
    told = {**table, "imports": tuple(table["imports"]), "runs_at_once": at_once}
    return KernelSettings(**told)


def _severities(table: Mapping[str, Any], path: Path) -> Severities:
    levels = tuple(
        Severity(name, rank, level.get("title", ""), _thresholds(name, level, path))
        for rank, (name, level) in enumerate(table["levels"].items(), start=1)
    )
    if not levels:
        raise ConfigError(
            f"{path}: [severity.levels] names no severity.",
            hint="Name one at least, or leave the table out to have sev1 to sev4.",
        )
    names = [level.name for level in levels]
    default = table.get("default", names[-1])
    if default not in names:
        raise ConfigError(
            f"{path}: the default severity '{default}' is not one of [severity.levels].",
            hint=suggestion(default, names),
        )
    return Severities(levels, default)


def _thresholds(name: str, level: Mapping[str, Any], path: Path) -> tuple[Threshold, ...]:
    try:
        return tuple(threshold_from_text(m, text) for m, text in level.get("when", {}).items())
    except ConfigError as error:
        raise ConfigError(f"{path}: [severity.levels.{name}] {error}", hint=error.hint) from error


def _store_url(root: Path, url: str) -> str:
    chosen = os.environ.get("IMT_STORE_URL") or url or "sqlite:///outputs/imt.db"
    scheme, separator, rest = chosen.partition(":///")
    if scheme == "sqlite" and separator and rest and not rest.startswith((":memory:", "/")):
        return f"sqlite:///{root / rest}"
    return chosen


def _checked(path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The document as written, once every key and type in it is known to be right."""
    # All of pydantic takes twice as long to load as the rest of a short command.
    from pydantic_core import SchemaValidator, ValidationError

    try:
        return dict(SchemaValidator(table_of(**_tables())).validate_python(raw))
    except ValidationError as error:
        raise _config_error(path, error) from error


def _tables() -> dict[str, CoreSchema]:
    """What imt.toml may hold, by table."""
    from pydantic_core import core_schema as core

    text, number = core.str_schema(strict=True), core.int_schema(strict=True)
    texts = core.list_schema(text, strict=True)

    def by_name(value: CoreSchema) -> CoreSchema:
        return core.dict_schema(text, value, strict=True)

    of_memory = ("memory_mb", "run_memory_mb")
    numbers = ("warm", *of_memory, "keep_minutes", "runs_at_once", "queued_at_once")
    return {
        "workspace": table_of(name=text),
        "store": table_of(url=text),
        "outputs": table_of(**depot_tables()),
        "severity": table_of(
            default=text, levels=by_name(table_of(title=text, when=by_name(text)))
        ),
        "lifecycle": table_of(require=by_name(texts)),
        "kernels": table_of(imports=texts, **dict.fromkeys(numbers, number)),
        "alerts": table_of(**alert_tables()),
        "serve": table_of(**serve_tables()),
        "services": by_name(table_of(owner=text, tags=texts, on_call=by_name(text))),
        "status_pages": by_name(
            table_of("url", url=text, token=text, title=text, components=by_name(text))
        ),
    }


_SHAPES: Mapping[str, str] = {
    # pydantic's kind of error -> how the value is written in TOML
    "string_type": 'in quotes: "…"',
    "int_type": "as a whole number, without quotes: 2",
    "list_type": 'as a list: ["…", "…"]',
    "dict_type": 'as a table of its own: [name], and name = "…" in it',
}


def _config_error(path: Path, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        top = len(first["loc"]) == 1
        hint = suggestion(name, _tables()) if top else "Mend its name or remove it."
        return ConfigError(f"{path}: '{place}' is not a setting imtkit knows.", hint=hint)
    shape = _SHAPES.get(first["type"], "as the imt.toml that 'imt init' makes has it")
    hint = f"Write it {shape}."
    if first["type"] == "missing":
        hint = "Add it to that table."
    return ConfigError(f"{path}: '{place}' is wrong: {first['msg'].lower()}.", hint=hint)


def named_incident() -> str:
    """The incident that the environment names; empty when it names none."""
    return os.environ.get("IMT_INCIDENT", "")


def current_run() -> str:
    """The run that this process is the kernel of; empty in a sitting by hand."""
    return os.environ.get("IMT_RUN", "")


def current_source(default: str) -> str:
    """What started the run that this process belongs to, else ``default``."""
    return os.environ.get("IMT_SOURCE", default)


def known_person() -> str:
    """Who is acting, from JupyterHub, the environment, an earlier answer or git; else empty.

    Names that Jupyter makes up for nobody ("Anonymous …") are nobody's.
    """
    candidates = (
        os.environ.get("IMT_USER", ""),
        os.environ.get("JUPYTERHUB_USER", ""),
        _remembered(),
        _git_name(),
    )
    return next((name.strip() for name in candidates if is_somebody(name)), "")


def person() -> str:
    """Who is acting; IdentityError says how to say it when nobody knows."""
    name = known_person()
    if not name:
        raise IdentityError(
            "Nobody knows who is acting.",
            hint="Say who you are: set IMT_USER, or git config --global user.name 'Your Name'.",
        )
    return name


def notebook_path() -> str:
    """The notebook that this process is the kernel of, as Jupyter Server named it; else empty."""
    return os.environ.get("JPY_SESSION_NAME", "")


def is_somebody(name: str) -> bool:
    """Whether this is a person's name, and not what stands for nobody."""
    plain = name.strip().lower()
    return bool(plain) and not plain.startswith("anonymous") and plain.isprintable()


def remember_person(name: str) -> str:
    """Keep a name that was asked for, for this user of this machine; returns it trimmed."""
    plain = name.strip()
    if not is_somebody(plain) or len(plain) > 100:
        raise InputError(
            f"{name!r} is nobody's name.", hint="Give the name colleagues know you by."
        )
    path = _remembered_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plain + "\n", encoding="utf-8")
    return plain


def _remembered_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "imtkit" / "name"


def _remembered() -> str:
    try:
        return _remembered_path().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _git_name() -> str:
    try:
        done = subprocess.run(
            ["git", "config", "--get", "user.name"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def page_settings(settings: Settings, name: str) -> PageSettings:
    """The status page of this name; NotFoundError names the nearest."""
    try:
        return settings.status_pages[name]
    except KeyError:
        raise NotFoundError.of("Status page", name, settings.status_pages) from None

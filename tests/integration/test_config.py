"""imt.toml and the environment: what they say, and what is said when they are wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imtkit import config
from imtkit.config import find_workspace, load_settings, resolve_secret
from imtkit.errors import ConfigError, IdentityError, InputError, NotFoundError, WorkspaceError


def write(workspace: Path, text: str) -> Path:
    (workspace / "imt.toml").write_text(text, encoding="utf-8")
    return workspace


# imt.toml


def test_an_empty_file_means_the_template(workspace: Path) -> None:
    """Every line may be left out: what the template says is what counts."""
    written = load_settings(workspace)
    empty = load_settings(write(workspace, ""))
    assert empty == written
    assert [level.name for level in empty.severities.levels] == ["sev1", "sev2", "sev3", "sev4"]
    assert empty.severities.default == "sev3"
    assert empty.owed.fields == {"resolved": ("resolution",), "closed": ("cause",)}
    assert empty.store_url == f"sqlite:///{workspace}/outputs/imt.db"
    assert empty.outputs == workspace / "outputs"
    assert empty.runbook_folders[0] == workspace / "runbooks"


def test_what_is_written_wins(workspace: Path) -> None:
    """Levels come in the file's order, worst first; services and pages by name."""
    settings = load_settings(
        write(
            workspace,
            """
            [workspace]
            name = "Shop"
            [store]
            url = "postgresql://imt@db/imt"
            [severity]
            default = "P2"
            [severity.levels.P1]
            when = { error_rate = "> 50%" }
            [severity.levels.P2]
            [lifecycle.require]
            closed = []
            [services.orders]
            owner = "payments"
            tags = ["checkout"]
            [status_pages.public]
            url = "cachet+https://status.example.org"
            token = "secret://env/TOKEN"
            components = { orders = "7" }
            """,
        )
    )
    assert settings.name == "Shop"
    assert settings.store_url == "postgresql://imt@db/imt"
    assert [(s.name, s.rank) for s in settings.severities.levels] == [("P1", 1), ("P2", 2)]
    assert settings.owed.fields == {"closed": ()}
    assert settings.services["orders"].tags == ("checkout",)
    assert config.page_settings(settings, "public").components == {"orders": "7"}
    with pytest.raises(NotFoundError, match="Status page 'pubic' not found") as caught:
        config.page_settings(settings, "pubic")
    assert caught.value.hint == "Did you mean 'public'?"


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[workspace", "is not valid TOML", ""),
        ("[severty]\n", "'severty' is not a setting imtkit knows", "Did you mean 'severity'?"),
        ("[store]\nurll = 'x'", "'store.urll' is not a setting", "Mend its name or remove it."),
        ("[workspace]\nname = 3", "'workspace.name' is wrong: input should be a valid string", ""),
        ("workspace = 3", "'workspace' is wrong", ""),
        ("[services.a]\ntags = 'x'", "'services.a.tags' is wrong", ""),
        ("[status_pages.a]\ntitle = 'x'", "'status_pages.a.url' is wrong: field required", ""),
        ("[severity]\ndefault = 'sev9'", "default severity 'sev9' is not one of", "Did you mean"),
        (
            "[severity.levels.a.when]\nx = '5'",
            "Threshold x = '5' is not a comparison",
            "Write a comparison",
        ),
        (
            "[lifecycle.require]\nresovled = ['x']",
            "names the state 'resovled', which does not exist",
            "Did you mean 'resolved'?",
        ),
        ("[severity]\nlevels = {}", "names no severity", ""),
        ("[kernels]\nwarm = -1", "[kernels] warm = -1 is not from 0 to a million", ""),
        ("[kernels]\nwarm = '2'", "'kernels.warm' is wrong", "Write it as a whole number"),
        (
            "[alerts.sources.own]\nkind = 'mapped'\nfields = {titel = 'a'}",
            "[alerts.sources.own] has a field 'titel', which is not known",
            "Did you mean 'title'?",
        ),
        ("[alerts.sources.pagerdty]", "is of the kind 'pagerdty'", "Did you mean 'pagerduty'?"),
        ("[alerts.sources.sentry]", "has no secrets: anybody could post", "Name one"),
        *(
            (
                f"[alerts.sources.{kind}]\nproof = 'signature'",
                f"asks for a signature, which the kind '{kind}' has none of",
                'Give the sender a bearer token: proof = "bearer".',
            )
            for kind in ("alertmanager", "datadog", "opsgenie")
        ),
        (
            "[[alerts.silences]]\nends_at = 2026-11-22T10:00:00",
            "which has no time zone",
            "Write 2026-11-21",
        ),
        ("[serve]\nport = 70000", "[serve] port = 70000 is not from 0", ""),
        ("[kernels]\nimports = ['os.']", "names 'os.', which is no module", "Write what stands"),
    ],
)
def test_a_wrong_file_is_told_place_and_remedy(
    workspace: Path, text: str, says: str, hint: str
) -> None:
    """Each error names the file, the place in it and what is expected."""
    with pytest.raises(ConfigError) as caught:
        load_settings(write(workspace, text))
    assert says in str(caught.value)
    assert str(workspace / "imt.toml") in str(caught.value)
    assert caught.value.hint.startswith(hint)
    assert "pydantic" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(workspace: Path) -> None:
    """Bytes that are not UTF-8 are a ConfigError, as is a folder in the file's place."""
    (workspace / "imt.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_settings(workspace)
    (workspace / "imt.toml").unlink()
    with pytest.raises(WorkspaceError, match=r"has no imt\.toml"):
        load_settings(workspace)
    (workspace / "imt.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(workspace)


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("sqlite:///log.db", "sqlite:///{root}/log.db"),
        ("sqlite:////var/imt.db", "sqlite:////var/imt.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///outputs/imt.db?timeout=3", "sqlite:///{root}/outputs/imt.db?timeout=3"),
    ],
)
def test_paths_of_the_store_begin_at_the_workspace(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, url: str, becomes: str
) -> None:
    """In the file and in IMT_STORE_URL, which wins."""
    expected = becomes.format(root=workspace)
    monkeypatch.setenv("IMT_STORE_URL", url)
    assert load_settings(workspace).store_url == expected
    monkeypatch.setenv("IMT_STORE_URL", "")
    assert load_settings(write(workspace, f"[store]\nurl = '{url}'")).store_url == expected


def test_kernels_have_defaults_and_each_may_be_set(workspace: Path) -> None:
    """Two are kept ready; as many runs go on at once as there are processors, two at least."""
    kernels = load_settings(write(workspace, "[kernels]\nimports = ['yaml']\n")).kernels
    assert (kernels.warm, kernels.keep_minutes, kernels.run_memory_mb) == (4, 60, 0)
    assert kernels.imports == ("yaml",)
    assert kernels.runs_at_once == 4 * (os.cpu_count() or 1)
    told = "[kernels]\nwarm = 0\nruns_at_once = 1\n"
    few = load_settings(write(workspace, told)).kernels
    assert (few.warm, few.runs_at_once) == (0, 1)


# The workspace


def test_a_workspace_is_found_from_within(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder below; IMT_WORKSPACE wins over where one stands."""
    deep = workspace / "outputs" / "INC-2026-0001"
    deep.mkdir()
    assert find_workspace(deep) == workspace
    monkeypatch.chdir(deep)
    assert find_workspace() == workspace
    monkeypatch.setenv("IMT_WORKSPACE", str(deep))
    with pytest.raises(WorkspaceError, match=r"has no imt\.toml") as caught:
        find_workspace()
    assert caught.value.hint == f"Make it one with: imt init {deep}"
    monkeypatch.setenv("IMT_WORKSPACE", str(workspace))
    monkeypatch.chdir("/")
    assert find_workspace() == workspace


def test_outside_of_any_workspace_the_way_in_is_told(tmp_path: Path) -> None:
    """The hint is the command that makes one."""
    with pytest.raises(WorkspaceError, match="There is no workspace in") as caught:
        find_workspace(tmp_path)
    assert caught.value.hint == "Make this folder one with: imt init ."


# Who is acting


def git_name(name: str) -> None:
    subprocess.run(["git", "config", "--global", "user.name", name], check=True)


def test_nobody_is_known_at_first() -> None:
    """The hint says how to say who one is."""
    with pytest.raises(IdentityError, match="Nobody knows who is acting") as caught:
        config.person()
    assert "IMT_USER" in caught.value.hint


def test_the_nearest_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """git, an earlier answer, JupyterHub, IMT_USER: each wins over those before it."""
    git_name("Gil Git")
    assert config.person() == "Gil Git"
    assert config.remember_person("  Rae Remembered ") == "Rae Remembered"
    assert config.person() == "Rae Remembered"
    monkeypatch.setenv("JUPYTERHUB_USER", "hub")
    assert config.person() == "hub"
    monkeypatch.setenv("IMT_USER", "Ann Example")
    assert config.person() == "Ann Example"


@pytest.mark.parametrize("name", ["", "  ", "Anonymous Io", "anonymous", "a\x1bb"])
def test_nobodys_names_are_passed_over(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What Jupyter calls a person without a name is no name, nor is one nobody can read."""
    git_name("Gil Git")
    monkeypatch.setenv("IMT_USER", name)
    assert config.person() == "Gil Git"
    with pytest.raises(InputError, match="is nobody's name"):
        config.remember_person(name)


def test_a_name_of_endless_length_is_not_remembered() -> None:
    """A pasted text is no name."""
    with pytest.raises(InputError):
        config.remember_person("x" * 101)


def test_a_machine_without_git_has_no_name_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where git is missing nobody is known, and nothing breaks."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert config.known_person() == ""


def test_what_the_environment_says_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Incident, run and source of a run's kernel; nothing in a sitting by hand."""
    assert (config.named_incident(), config.current_run()) == ("", "")
    assert config.current_source("jupyter") == "jupyter"
    for name in ("IMT_INCIDENT", "IMT_RUN", "IMT_SOURCE"):
        monkeypatch.setenv(name, name.lower())
    assert (config.named_incident(), config.current_run()) == ("imt_incident", "imt_run")
    assert config.current_source("jupyter") == "imt_source"
    assert {"IMT_INCIDENT", "IMT_RUN", "IMT_SOURCE", "IMT_USER"} <= set(config.ENVIRONMENT)


# Secrets


def test_secrets_come_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reference; blanks at a file's end are not part of it; no reference, no secret."""
    monkeypatch.setenv("TOKEN", "s3cret")
    (tmp_path / "token").write_text("f1le\n")
    assert resolve_secret("secret://env/TOKEN") == "s3cret"
    assert resolve_secret(f"secret://file/{str(tmp_path)[1:]}/token") == "f1le"
    assert resolve_secret(f"secret://file/{tmp_path}/token") == "f1le"
    assert resolve_secret("") == ""
    (Path(os.environ["HOME"]) / "token").write_text("home")
    assert resolve_secret("secret://file/~/token") == "home"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("s3cret", "A secret stands in the configuration itself"),
        ("secret://env/", "A secret stands in the configuration itself"),
        ("secret://env/NOT_SET", "The environment variable NOT_SET is not set"),
        ("secret://file/no/such/file", "/no/such/file cannot be read: No such file"),
        ("secret://valut/x", "Secrets of kind 'valut' are not known"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told_without_it(reference: str, says: str) -> None:
    """The error names the reference's fault, never a value."""
    with pytest.raises(ConfigError) as caught:
        resolve_secret(reference)
    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)

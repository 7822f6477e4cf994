"""Secrets by reference: ``secret://env/NAME`` and ``secret://file/PATH``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from imtkit.errors import ConfigError, suggestion


def resolve_secret(reference: str) -> str:
    """What ``secret://env/NAME`` or ``secret://file/PATH`` stands for; other text is refused.

    The value is for immediate use: it must reach no log, error or notebook.
    """
    if not reference:
        return ""
    kind, _, name = reference.removeprefix("secret://").partition("/")
    if not reference.startswith("secret://") or not name:
        raise ConfigError(
            "A secret stands in the configuration itself.",
            hint="Refer to it: secret://env/NAME or secret://file/path.",
        )
    if kind == "env":
        value = os.environ.get(name, "")
        if not value:
            raise ConfigError(
                f"The environment variable {name} is not set.",
                hint="Set it where imtkit runs, or refer to another place in imt.toml.",
            )
        return value
    if kind == "file":
        path = Path(name if name.startswith("~") else f"/{name}").expanduser()
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(
                f"The secret file {path} cannot be read: {error.strerror}.",
                hint="Make it readable, or refer to another place in imt.toml.",
            ) from error
    raise ConfigError(
        f"Secrets of kind '{kind}' are not known.", hint=suggestion(kind, ("env", "file"))
    )


def is_reference(value: object) -> bool:
    """Whether a value refers to a secret (``secret://…``)."""
    return isinstance(value, str) and value.startswith("secret://")


def remember_references(references: Mapping[str, str]) -> None:
    """Keep what this process refers to, by name, for itself and the processes it starts."""
    os.environ["IMT_SECRETS"] = json.dumps({**_known_references(), **references})


def known_secrets() -> dict[str, str]:
    """The secrets that this process was given, by name; ConfigError when one is gone."""
    try:
        return {name: resolve_secret(one) for name, one in _known_references().items()}
    except ConfigError as error:
        raise ConfigError(
            f"What must be kept out of the log cannot be told any more: {error}",
            hint="Leave a run's secrets where they are until it has joined its incident.",
        ) from error


def _known_references() -> dict[str, str]:
    try:
        return dict(json.loads(os.environ.get("IMT_SECRETS") or "{}"))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            "IMT_SECRETS is not a JSON table of references.",
            hint="Unset it: imtkit itself sets it for the processes that it starts.",
        ) from error

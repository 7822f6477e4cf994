"""The part of imt.toml that says where outputs go: ``[outputs]``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imtkit.config.secrets import is_reference, resolve_secret
from imtkit.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

_SECRET = re.compile(
    r"(^|_)((secret|token|password|passphrase|key|credential|sas|connection_string|authorization)"
    r"(_|$)|auth$)"
)
"""Names of options whose values are secrets, as the libraries behind fsspec call them, and of
headers."""

_EXAMPLE = 'Write address = "s3://bucket/prefix", or "file:///shared/folder".'


@dataclass(frozen=True, slots=True)
class DepotSettings:
    """Where outputs go besides the workspace: an address that fsspec knows, and its options.

    Without an address they stay where they are. Options may hold references of secrets.
    """

    address: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """The options with their secrets: for immediate use, to be told to nobody."""
        return {name: _resolved(value) for name, value in self.options.items()}


def depot_tables() -> dict[str, CoreSchema]:
    """What ``[outputs]`` may hold. The options are of whichever library serves the address."""
    from pydantic_core import core_schema as core

    text = core.str_schema(strict=True)
    return {"address": text, "options": core.dict_schema(text, core.any_schema(), strict=True)}


def depot_settings(table: Mapping[str, Any], path: Path) -> DepotSettings:
    """``[outputs]`` as it counts; ConfigError where it names no address, or tells a secret."""
    address = table.get("address", "").strip().rstrip("/")
    options = table.get("options", {})
    if address:
        _check(address, path)
    for name, value in _texts(options):
        if _SECRET.search(name.lower().replace("-", "_")) and not is_reference(value):
            raise ConfigError(
                f"{path}: [outputs.options] {name} is a secret that stands there itself.",
                hint=f'Refer to it, {name} = "secret://env/NAME", or leave it out: the library '
                "finds the machine's own credentials.",
            )
    return DepotSettings(address, options)


def _check(address: str, path: Path) -> None:
    try:
        parts = urlsplit(address)
        is_login = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise ConfigError(f"{path}: [outputs] address is none: {error}.", hint=_EXAMPLE) from error
    if "://" not in address or not parts.netloc + parts.path.strip("/"):
        raise ConfigError(f"{path}: [outputs] address names no place.", hint=_EXAMPLE)
    if is_login and parts.scheme not in ("abfs", "abfss", "az"):  # there: container@account
        raise ConfigError(
            f"{path}: [outputs] address holds a login.",
            hint="Take it out; credentials come from the environment or [outputs.options].",
        )
    if parts.scheme in ("file", "local") and (parts.netloc or not parts.path.startswith("/")):
        raise ConfigError(f"{path}: [outputs] address is a relative path.", hint=_EXAMPLE)


def _texts(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts among the options, with the name that each, or its list, has in its table."""
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield name, one
            elif isinstance(one, Mapping):
                yield from _texts(one)


def _resolved(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _resolved(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one) for one in value]
    return resolve_secret(value) if isinstance(value, str) and is_reference(value) else value

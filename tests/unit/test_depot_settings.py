"""[outputs] of imt.toml: an address, and options that hold no secret themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imtkit.config.depot import depot_settings
from imtkit.errors import ConfigError

PATH = Path("imt.toml")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("file:///shared/outputs", "file:///shared/outputs"),
        ("abfs://container@account.dfs.core.windows.net/x", ""),
    ],
)
def test_an_address_is_taken_as_it_is(written: str, meant: str) -> None:
    """A slash at its end says nothing; what stands before an Azure account is a container."""
    assert depot_settings({"address": written}, PATH).address == (meant or written)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("bucket/prefix", "names no place"),
        ("s3://", "names no place"),
        ("s3:///", "names no place"),
        ("s3://key:secret@bucket/x", "holds a login"),
        ("file://relative/folder", "is a relative path"),
        ("s3://[bucket", "is none"),
    ],
)
def test_what_is_no_address_is_refused(address: str, said: str) -> None:
    """With the place in imt.toml and an example, and never with what may be a secret."""
    with pytest.raises(ConfigError, match=rf"imt\.toml: \[outputs\] address .*{said}") as caught:
        depot_settings({"address": address}, PATH)
    assert "key:secret" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "options",
    [
        {"secret": "hunter2"},
        {"key": "hunter2"},
        {"client_kwargs": {"aws_secret_access_key": "hunter2"}},
        {"sas_token": "hunter2"},
        {"account_key": "hunter2"},
        {"connection_string": "AccountName=a;AccountKey=hunter2"},
        {"headers": {"Authorization": "Bearer hunter2"}},
        {"headers": [{"X-Api-Key": "hunter2"}]},
        {"auth": ["ann", "hunter2"]},
    ],
)
def test_a_secret_does_not_stand_in_the_file(options: dict[str, Any]) -> None:
    """It is named, not told."""
    with pytest.raises(ConfigError, match="is a secret that stands there itself") as caught:
        depot_settings({"address": "s3://bucket", "options": options}, PATH)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


def test_references_are_resolved_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is handed on as it is."""
    monkeypatch.setenv("DEPOT_SECRET", "hunter2")
    options = {
        "anon": False,
        "endpoint_url": "http://127.0.0.1:9000",
        "client_kwargs": {"aws_secret_access_key": "secret://env/DEPOT_SECRET"},
        "tokens": [{"token": "secret://env/DEPOT_SECRET"}, 1],
    }
    settings = depot_settings({"address": "s3://bucket", "options": options}, PATH)
    assert "hunter2" not in repr(settings)
    assert settings.resolved() == {
        "anon": False,
        "endpoint_url": "http://127.0.0.1:9000",
        "client_kwargs": {"aws_secret_access_key": "hunter2"},
        "tokens": [{"token": "hunter2"}, 1],
    }

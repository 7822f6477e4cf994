"""What every depot does: an S3 server, a shared folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from buckets import S3, depot_credentials, s3

from imtkit.config.depot import DepotSettings
from imtkit.depot import Depot, open_depot
from imtkit.errors import ConfigError, NotFoundError, ServiceDownError, ServiceError

__all__ = ["depot_credentials", "s3"]

OPTIONS = {"key": "secret://env/DEPOT_KEY", "secret": "secret://env/DEPOT_SECRET"}


@pytest.fixture(params=["s3", "file"])
def depot(request: pytest.FixtureRequest, tmp_path: Path, depot_credentials: None) -> Depot:
    """An empty depot of each kind."""
    if request.param == "file":
        (tmp_path / "shared" / "outputs").mkdir(parents=True)
        return open_depot(DepotSettings(f"file://{tmp_path}/shared/outputs"))
    server: S3 = request.getfixturevalue("s3")
    options = {**OPTIONS, "endpoint_url": server.url}
    return open_depot(DepotSettings(f"s3://{server.bucket()}/ops/outputs", options))


def test_what_was_sent_is_fetched_to_the_byte(depot: Depot, tmp_path: Path) -> None:
    """Files and bytes, empty ones and ones of several megabytes, with odd names."""
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 40_000)
    depot.send("INC-1/evidence/käse und 50%.txt", b"gouda")
    depot.send("INC-1/big", big)
    depot.send("INC-1/empty", b"")
    assert (
        depot.fetch("INC-1/big", tmp_path / "again") == hashlib.sha256(big.read_bytes()).hexdigest()
    )
    assert (tmp_path / "again").read_bytes() == big.read_bytes()
    assert depot.read("INC-1/evidence/käse und 50%.txt") == b"gouda"
    assert depot.sizes("INC-1") == {
        "INC-1/evidence/käse und 50%.txt": 5,
        "INC-1/big": 10_240_000,
        "INC-1/empty": 0,
    }


def test_what_is_sent_again_takes_the_place_of_what_was_there(depot: Depot, tmp_path: Path) -> None:
    """Nothing remembers the older one, and nothing but the file is there."""
    depot.send("INC-1/a", b"older")
    assert depot.sizes("INC-1") == {"INC-1/a": 5}
    depot.send("INC-1/a", b"the newer")
    assert depot.read("INC-1/a") == b"the newer"
    depot.fetch("INC-1/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"the newer"
    assert depot.sizes("INC-1") == {"INC-1/a": 9}


def test_folders_do_not_mix(depot: Depot) -> None:
    """What another incident's folder holds, whose name begins alike, is not told."""
    depot.send("INC-1/a", b"1")
    depot.send("INC-10/a", b"10")
    assert depot.sizes("INC-1") == {"INC-1/a": 1}


def test_what_is_not_there_is_missing(depot: Depot, tmp_path: Path) -> None:
    """No folder is an empty one; a file that is fetched must be there."""
    assert depot.sizes("INC-1") == {}
    assert depot.read("INC-1/a") is None
    with pytest.raises(NotFoundError, match="There is no INC-1/a at "):
        depot.fetch("INC-1/a", tmp_path / "a")


def test_a_full_or_missing_disk_here_is_no_fault_of_the_log(depot: Depot, tmp_path: Path) -> None:
    """What cannot be written here is told as such, and nobody takes the log for broken."""
    depot.send("INC-1/a", b"1")
    with pytest.raises(ServiceError, match="cannot be written"):
        depot.fetch("INC-1/a", tmp_path / "no" / "folder" / "a")


def down(address: str) -> Depot:
    return open_depot(DepotSettings(address, {**OPTIONS, "endpoint_url": "http://127.0.0.1:9"}))


@pytest.mark.parametrize(
    "task",
    [
        lambda depot, path: depot.sizes("INC-1"),
        lambda depot, path: depot.read("INC-1/a"),
        lambda depot, path: depot.send("INC-1/a", b"1"),
        lambda depot, path: depot.fetch("INC-1/a", path),
    ],
    ids=["sizes", "read", "send", "fetch"],
)
@pytest.mark.usefixtures("depot_credentials")
def test_a_depot_that_is_away_says_so_soon(
    task: Callable[[Depot, Path], object], tmp_path: Path
) -> None:
    """It may be tried again, and no credentials are told."""
    with pytest.raises(ServiceDownError, match="s3://bucket/x cannot be used now") as caught:
        task(down("s3://bucket/x"), tmp_path / "a")
    assert caught.value.retryable
    assert "a-secret-key" not in str(caught.value)


@pytest.mark.usefixtures("depot_credentials")
def test_a_bucket_that_does_not_exist_is_told(s3: S3) -> None:
    """Nothing is made that nobody asked for."""
    options = {**OPTIONS, "endpoint_url": s3.url}
    depot = open_depot(DepotSettings("s3://there-is-none/x", options))
    with pytest.raises(ServiceError, match="s3://there-is-none/x does not exist"):
        depot.send("INC-1/a", b"1")
    assert "there-is-none" not in s3.files().ls("")


def test_a_folder_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    """Nothing may be mounted there: what is written then is beneath what is mounted later."""
    depot = open_depot(DepotSettings(f"file://{tmp_path}/mounted/outputs"))
    with pytest.raises(ServiceError, match="/mounted/outputs does not exist") as caught:
        depot.send("INC-1/a", b"1")
    assert "mount it" in caught.value.hint
    assert not (tmp_path / "mounted").exists()


def test_a_folder_that_may_not_be_written_lets_nobody_in(tmp_path: Path) -> None:
    """A file stands in the way, or access is missing: it is told, and can be mended."""
    (tmp_path / "shared").write_text("a file")
    with pytest.raises(ServiceError, match="cannot be used now"):
        open_depot(DepotSettings(f"file://{tmp_path}/shared/outputs")).send("INC-1/a", b"1")


def test_a_secret_that_is_gone_is_told_by_its_name() -> None:
    """As everywhere where a secret is referred to."""
    with pytest.raises(ConfigError, match="The environment variable DEPOT_KEY is not set"):
        open_depot(DepotSettings("s3://bucket/x", OPTIONS))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense://place/x", "cannot be served: .*nonsense"),
        ("gs://bucket/x", "library is missing"),
    ],
)
def test_what_cannot_be_served_is_a_fault_of_the_configuration(address: str, said: str) -> None:
    """A scheme that fsspec does not know, one whose library is not here."""
    with pytest.raises(ConfigError, match=said):
        open_depot(DepotSettings(address))


WITHOUT_S3FS = """
import sys
sys.modules["s3fs"] = None
from imtkit.config.depot import DepotSettings
from imtkit.depot import open_depot
from imtkit.errors import ConfigError
try:
    open_depot(DepotSettings("s3://bucket/x"))
except ConfigError as error:
    print(error.hint)
"""


def test_the_extra_that_is_missing_is_named() -> None:
    """Who has plain imtkit reads what to install for S3."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_S3FS], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "pip install 'imtkit[s3]'"

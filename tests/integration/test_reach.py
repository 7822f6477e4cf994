"""Where the servers of a workspace say that they are, also where machines share its outputs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from imtkit.config import load_settings
from imtkit.lab import reach
from imtkit.runs.lease import this_process


def test_servers_of_containers_with_one_number_have_files_of_their_own(workspace: Path) -> None:
    """Whoever looks for a server finds that of their own machine and leaves the other's alone."""
    settings, here = load_settings(workspace), this_process()
    there = replace(here, host="another-container", started="another boot/1")
    mine = reach.announce(settings, "http://127.0.0.1:1/", "mine")
    theirs = reach.record_of(settings, there)
    assert theirs != mine
    other = replace(reach.read(mine), url="http://127.0.0.1:2/", process=there)
    theirs.write_text(json.dumps(asdict(other)))
    found = reach.server_of(settings)
    assert found is not None
    assert found.home == "http://127.0.0.1:1/lab?token=mine"
    reach.withdraw(mine)
    assert reach.server_of(settings) is None
    assert theirs.is_file()


def test_a_later_process_with_the_same_number_has_another_file(workspace: Path) -> None:
    """A container that is started again is not taken for the one before."""
    settings, here = load_settings(workspace), this_process()
    again = replace(here, started="later")
    assert reach.record_of(settings, here) != reach.record_of(settings, again)

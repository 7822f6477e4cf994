"""Names that were probably meant to be others."""

from __future__ import annotations

import pytest

from imtkit.model.names import meant_by


@pytest.mark.parametrize(
    ("name", "meant"),
    [("titel", "title"), ("sevrity", "severity"), ("title", ""), ("cause", ""), ("", "")],
)
def test_a_slip_is_told_from_a_name_of_its_own(name: str, meant: str) -> None:
    """Only what is nearly a known name is taken for a slip of it."""
    assert meant_by(name, ("title", "severity", "owner", "services")) == meant

"""How tables of imt.toml are described to whoever checks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


def table_of(required: str = "", /, **settings: CoreSchema) -> CoreSchema:
    """A table that holds no other settings than these."""
    from pydantic_core import core_schema as core

    fields = {
        name: core.typed_dict_field(value, required=name == required)
        for name, value in settings.items()
    }
    return core.typed_dict_schema(fields, extra_behavior="forbid", strict=True)

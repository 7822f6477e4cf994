"""Hostile HTML in, harmless HTML out: the only door to nh3.

What stays is structure, text, links, images held in the page itself, and a few harmless
properties of style. What goes: scripts, forms, frames, style sheets, positions, foreign images,
ids that could collide, classes by which an output could dress up as the record, and colours:
a page is read on white, on black and on paper, and no colour may hide a word on any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from imtkit.model.words import visible

_EVERYWHERE = {"class", "role", "aria-label", "aria-hidden", "title", "dir", "lang", "style"}
_IMAGE = re.compile(
    r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE
)
_LINK = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)
_CLASS = re.compile(r"imt-[a-z-]{1,40}|dataframe|highlight|[a-z][a-z0-9]{0,2}")
_STYLE = {
    "font-style",
    "font-weight",
    "text-align",
    "text-decoration",
    "vertical-align",
    "white-space",
}

Clean = Callable[[str], str]


def cleaner() -> Clean:
    """A function that cleans HTML; making it costs more than using it, so keep it."""
    import nh3

    attributes = {tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
    attributes["*"] = _EVERYWHERE
    made = nh3.Cleaner(
        tags=(nh3.ALLOWED_TAGS | {"tfoot"}) - {"map", "area"},
        attributes=attributes,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=_STYLE,
        link_rel="noopener noreferrer",
    )

    def clean(html: str) -> str:
        # pandas draws the corner of a table as a header of nothing
        return str(made.clean(visible(html))).replace("<th></th>", "<td></td>")

    return clean


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The attribute's value, or None where it is not wanted."""
    match name:
        case "class":
            return " ".join(one for one in value.split() if _CLASS.fullmatch(one)) or None
        case "src":
            return value if tag == "img" and _IMAGE.fullmatch(value) else None
        case "href":
            return value if _LINK.match(value) else None
        case "cite":
            return None
        case "style" if "url" in value.lower() or "\\" in value:
            return None
    return value

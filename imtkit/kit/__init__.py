"""The verbs that notebooks, terminal and web all call: kit alone joins the rooms."""

from imtkit.kit.desk import Desk, open_desk

__all__ = ["Desk", "open_desk"]

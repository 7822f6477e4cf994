"""Probes: they measure real things, and say what the measurements mean.

Every probe has two halves. One measures and returns frozen facts; the other is a pure function
from facts to findings, with its limits as arguments. Nothing is canned: where there is no
fault, the finding says so.
"""

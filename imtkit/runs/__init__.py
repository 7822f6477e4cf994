"""Runbooks as notebooks: what they declare, whether they are sound, and running them."""

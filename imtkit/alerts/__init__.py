"""Alerts from outside: what senders post, and what it means for incidents."""

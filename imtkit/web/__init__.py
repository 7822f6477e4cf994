"""The world's face: what senders post, and pages. Nothing here runs code of a runbook."""

"""imtkit: runbooks, incident log, checklists and records for incident management teams."""

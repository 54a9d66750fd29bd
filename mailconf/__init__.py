"""The project: it composes the apps; no app imports it."""

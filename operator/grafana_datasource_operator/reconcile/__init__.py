"""Read, decide, at most one write, outcome. Patches no status, knows no kopf."""

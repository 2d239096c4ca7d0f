"""The one place with SQL. One file a noun; `Store` opens them for one workspace, or for all (corridor and app only)."""

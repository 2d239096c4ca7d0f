"""From older tables to this program's. Alembic is imported only here, so only when there is something to migrate."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tocsin.errors import SettingsError


def upgrade(connection: Connection, head: str | None, shown: str) -> None:
    """Bring the tables behind `connection` from `head` (None: nothing there) to this program's, in its transaction."""
    config = Config()
    config.set_main_option("script_location", "tocsin.store:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if head is not None and head not in known:
        raise SettingsError(
            f"TOCSIN_DATABASE_URL: expected tables this program knows (up to {max(known)}), found {head} in {shown}: they "
            "were made by a "
            "newer Tocsin. Start that version, or put back a backup from before the upgrade"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

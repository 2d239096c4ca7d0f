"""Hosts, what lets their agents in, and what agents tell."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables; none that was there changes."""
    connection = op.get_bind()
    text = Path(__file__).with_name(f"0007_hosts.{connection.dialect.name}.sql").read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)

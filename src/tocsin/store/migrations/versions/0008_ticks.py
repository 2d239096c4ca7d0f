"""What the locations of a monitor agreed on, tick by tick."""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new table; none that was there changes."""
    connection = op.get_bind()
    text = Path(__file__).with_name(f"0008_ticks.{connection.dialect.name}.sql").read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)

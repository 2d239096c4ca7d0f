"""The first tables. They stand as SQL beside this file, one file a dialect, so that later tables never change them."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table of the first version."""
    connection = op.get_bind()
    text = Path(__file__).with_name(f"0001_first.{connection.dialect.name}.sql").read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)

"""Run by Alembic: migrates over the connection it was given, in the transaction that connection is in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()

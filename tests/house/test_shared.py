"""Every table is either one that all instances of a cluster have alike, or each instance's own."""

from __future__ import annotations

import ast

from house.source import modules
from tocsin.store import schema
from tocsin.store.shared import OWN, SHARED, shared_tables


def test_every_table_is_shared_or_own() -> None:
    tables = set(schema.metadata.tables)
    assert SHARED.keys() & OWN.keys() == set()
    assert sorted(tables - SHARED.keys() - OWN.keys()) == [], "say in store/shared.py which it is"
    assert sorted((SHARED.keys() | OWN.keys()) - tables) == [], "there is no such table"


def test_what_is_said_of_a_shared_table_holds() -> None:
    for name, table in shared_tables().items():
        columns = {column.name for column in schema.metadata.tables[name].columns}
        assert set(table.columns) | set(table.how.at_home) == columns
        assert set(table.named) <= columns
        assert 1 <= len(table.key) <= 3, "triggers note keys of up to three columns"
        assert all(schema.metadata.tables[name].c[column].nullable for column in table.how.at_home)
        for column, about in table.how.sealed.items():
            assert table.about(column, dict.fromkeys(columns, "x")) == about.format_map(dict.fromkeys(columns, "x"))


def test_every_blob_of_a_shared_table_is_a_sealed_one() -> None:
    """A new secret must not travel in clear: what is sealed to one instance's key says to what it is bound."""
    for name, table in shared_tables().items():
        blobs = {c.name for c in schema.metadata.tables[name].columns if c.type.python_type is bytes}
        assert blobs == set(table.how.sealed), name


def test_no_statement_replaces_rows() -> None:
    """A REPLACE deletes without telling the triggers that note what was touched."""
    wrong = [
        f"{m.name}:{node.lineno}"
        for m in modules()
        if m.room == "store"
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and ("REPLACE INTO" in node.value or "OR REPLACE" in node.value)
    ]
    assert wrong == []

"""The one place with SQL. One file a noun; `Store` opens them for one workspace, or for all (corridor and app only)."""

from tocsin.store.session import Session
from tocsin.store.store import Scoped, Store

__all__ = ["Scoped", "Session", "Store"]

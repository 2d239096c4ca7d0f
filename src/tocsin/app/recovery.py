"""What the operator can do on the machine itself, with the server stopped."""

from __future__ import annotations

from tocsin.app import folder
from tocsin.app.keys import derive
from tocsin.clock import SystemClock
from tocsin.errors import NotFound, SettingsError
from tocsin.settings import Settings
from tocsin.store import Store
from tocsin.web import passwords
from tocsin.web.memory import Memory


def check_database(settings: Settings) -> None:
    """Return when there is a database to look into; raises SettingsError otherwise. Nothing is written."""
    file = settings.database_file
    if file is not None and not (file.is_file() and file.stat().st_size):
        key = next((k for k in ("DATABASE_URL", "DATABASE_PATH") if settings[k] is not None), "DATA_DIR")
        raise SettingsError(f"TOCSIN_{key}: expected the database of a server at {file}, found nothing")
    sealed = settings.data_dir / folder.KEY_FILE
    if settings["SECRET_KEY"] is None and not sealed.exists():
        raise SettingsError(f"TOCSIN_DATA_DIR: expected the key of a server at {sealed}, found nothing")


async def reset_password(settings: Settings, email: str, password: str) -> None:
    """Give this person a new password and end all their sessions.

    Raises NotFound for an unknown address, Invalid for a password that is too short, SettingsError when there is no
    database or a server is running on the same data folder."""
    check_database(settings)
    passwords.check(password)
    clock = SystemClock()
    store = await Store.open(
        settings.database_url,
        clock=clock,
        sealing_key=derive(folder.master_key(settings), "sealing"),
        spool_dir=settings.data_dir / "spool",
        create=False,
    )
    try:
        everybody = store.everything(by="operator")
        user = await everybody.read(lambda s: s.accounts.user_by_email(email))
        if user is None:
            raise NotFound(f"nobody here has the address {email}")
        hashed = await passwords.hashed(Memory(requests_per_minute=1, logins_per_minute=1), password)
        await everybody.write(lambda s: s.accounts.set_password(user.id, hashed))
        await everybody.write(lambda s: s.sessions.end_all(user.id, clock.now()))
    finally:
        await store.close()

"""A home: the folder and the database in which missions live.

On SQLite a home has exactly one worker process at a time: it holds ``worker.lock``, whose text is its process id.
Readers need no lock. On PostgreSQL many workers share the database and the lock is not used.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kimera.clock import Clock, SystemClock
from kimera.errors import HomeBusy, StorageError, StorageFull
from kimera.missions.control.counting import counted
from kimera.settings import Settings
from kimera.storage.attempts import Attempts
from kimera.storage.blobs import Blobs
from kimera.storage.database import Database, open_database
from kimera.storage.missions import Missions

__all__ = ["Home", "HomeLock", "open_home"]

LOCK_POLL = 0.1


@dataclass(frozen=True)
class Home:
    """An open home. ``engine_url`` is where the durable engine keeps its own records."""

    settings: Settings
    path: Path
    blobs: Blobs
    database: Database
    engine_url: str
    clock: Clock
    missions: Missions
    attempts: Attempts

    @property
    def embedded(self) -> bool:
        """Return whether state lives in SQLite files of this folder."""
        return self.database.embedded

    def close(self) -> None:
        """Close the database; the home can be opened again."""
        self.database.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_home(settings: Settings, clock: Clock | None = None) -> Home:
    """Open the home of these settings; the first start creates the folder and the schema.

    Raises `NewerSchema` for a database of a newer version (nothing is touched), `StorageFull`, `StorageError`.
    """
    clock = clock or SystemClock()
    path = settings.home_path
    _make(path)
    if settings.database_url is None:
        url, engine_url = f"sqlite:///{path / 'kimera.db'}", f"sqlite:///{path / 'engine.db'}"
    else:
        url = engine_url = settings.database_url.get_secret_value()
    database = open_database(url, synchronous=settings.synchronous, clock=clock)
    store = Missions(database)
    store.on_record = counted(store)
    return Home(
        settings=settings,
        path=path,
        blobs=Blobs(path / "blobs"),
        database=database,
        engine_url=engine_url,
        clock=clock,
        missions=store,
        attempts=Attempts(database, store),
    )


def _make(path: Path) -> None:
    try:
        (path / "blobs").mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("The disk that holds the home folder is full; free some space and try again.") from error
        raise StorageError(
            f"The home folder {path} cannot be created ({error.strerror}); set KIMERA_HOME to a folder you may write.",
            recoverable=False,
        ) from error


class HomeLock:
    """The right to work in a SQLite home; a context manager around `flock`, which the system drops with the process."""

    def __init__(self, home: Home) -> None:
        self.path = home.path / "worker.lock"
        self.clock = home.clock
        self._file: IO[str] | None = None

    def try_take(self) -> bool:
        """Take the lock if it is free; return whether it is ours."""
        if self._file is not None:
            return True
        file = self.path.open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        with suppress(OSError):  # the name is for people; on a full disk the lock itself still holds
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
        return True

    def take(self, *, wait: bool, notice: Callable[[str], None], give_up: Callable[[], bool] = lambda: False) -> bool:
        """Take the lock, waiting while another process works here; False when ``give_up`` said so.

        Raises `HomeBusy` at once when ``wait`` is false.
        """
        told = False
        while not self.try_take():
            message = f"home busy: process {self.holder() or '?'} works here; yours starts when it ends"
            if not wait:
                raise HomeBusy(f"{message}. Wait for it, or use another KIMERA_HOME.", pid=self.holder())
            if not told:
                notice(message)
                told = True
            if give_up():
                return False
            self.clock.pause(LOCK_POLL)
        return True

    def holder(self) -> int | None:
        """Return the process id written in the lock file, None when there is none."""
        try:
            words = self.path.read_text(encoding="ascii").strip()
        except OSError:
            return None
        return int(words) if words.isdigit() else None

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

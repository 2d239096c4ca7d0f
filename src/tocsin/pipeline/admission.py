"""Who may start now: limits for all checks together and for each target host, and a fair queue for the rest.

A host at its limit waits by itself; the others go round in turn. One entry a monitor and location at most, so the queue
is bounded by the number of monitors.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tocsin import telemetry
from tocsin.core.result import CheckResult
from tocsin.pipeline.watchlist import Watched


@dataclass(slots=True, eq=False)
class Job:
    """One check to be run. `due` is when it should start, on the clock's monotonic scale.

    `stored` False: nobody takes its result in (a test cycle). `done` gets the result, for who waits for it.
    `own_slot`: the monitor's regular check, not a repetition or one somebody asked for.
    """

    watched: Watched
    location: str
    slot: datetime
    due: float
    attempt: int = 0
    own_slot: bool = True
    stored: bool = True
    done: asyncio.Future[CheckResult] | None = None
    host: str = ""


class Admission:
    """Starts jobs as far as limits allow: `submit` a job, `finished` when it ended, `admit` when `room` may have
    grown."""

    def __init__(
        self, *, max_concurrent: int, max_per_host: int, start: Callable[[Job], None], room: Callable[[int], int]
    ) -> None:
        self.max_concurrent, self.max_per_host = max_concurrent, max_per_host
        self._start, self._room = start, room
        self.running = 0
        self.waiting = 0
        self._running_at: dict[str, int] = {}
        self._waiting_at: dict[str, deque[Job]] = {}
        self._waiting_for: dict[Watched, list[Job]] = {}
        self._turn: deque[str] = deque()

    def submit(self, job: Job, *, first: bool = False) -> None:
        """Queue a job; `first` goes before everybody else (a person waits for it). Call `admit` afterwards."""
        host = job.host = job.watched.host
        queue = self._waiting_at.get(host)
        if queue is None:
            queue = self._waiting_at[host] = deque()
            if self._running_at.get(host, 0) < self.max_per_host:
                self._turn.appendleft(host) if first else self._turn.append(host)
        queue.appendleft(job) if first else queue.append(job)
        self._waiting_for.setdefault(job.watched, []).append(job)
        self.waiting += 1

    def renew(self, watched: Watched, location: str, slot: datetime, due: float) -> None:
        """Let a regular check that still waits stand for this slot instead, in its old place: by the time it starts it is
        not too late for the one it stands for. (Else, with more to do than can be done, every check would start too late to
        be judged.)"""
        for job in self._waiting_for.get(watched, ()):
            if job.location == location and job.own_slot:
                job.slot, job.due = slot, due

    def admit(self) -> None:
        """Start what may start now, one job a host in turn."""
        if not self.waiting:
            return
        room = min(self.max_concurrent - self.running, self._room(self.running))
        while room > 0 and self._turn:
            host = self._turn.popleft()
            queue = self._waiting_at[host]
            job = queue.popleft()
            self._no_longer_waits(job)
            self.waiting -= 1
            self.running += 1
            room -= 1
            busy = self._running_at[host] = self._running_at.get(host, 0) + 1
            if not queue:
                del self._waiting_at[host]
            elif busy < self.max_per_host:
                self._turn.append(host)
            self._start(job)

    def finished(self, job: Job) -> None:
        """A started job has ended: its place is free."""
        host = job.host
        self.running -= 1
        left = self._running_at[host] - 1
        if left:
            self._running_at[host] = left
        else:
            del self._running_at[host]
        if left == self.max_per_host - 1 and host in self._waiting_at:
            self._turn.append(host)
        if self.waiting:
            self.admit()

    def forget(self, watched: Watched) -> list[Job]:
        """Drop what waits for this monitor, at whatever host it was when it began to wait; the dropped jobs."""
        dropped = self._waiting_for.pop(watched, [])
        self.waiting -= len(dropped)
        for host in {job.host for job in dropped}:
            kept = deque(job for job in self._waiting_at[host] if job.watched is not watched)
            if kept:
                self._waiting_at[host] = kept
                continue
            del self._waiting_at[host]
            if host in self._turn:
                self._turn.remove(host)
        return dropped

    def _no_longer_waits(self, job: Job) -> None:
        jobs = self._waiting_for[job.watched]
        if len(jobs) == 1:
            del self._waiting_for[job.watched]
        else:
            jobs.remove(job)

    def show(self) -> None:
        """Export how many run and wait."""
        telemetry.scheduler_waiting.set(self.waiting)
        telemetry.checks_running.set(self.running)

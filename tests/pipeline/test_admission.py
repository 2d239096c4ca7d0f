"""Limits and fair waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builders import START, a_monitor
from tocsin.pipeline.admission import Admission, Job
from tocsin.pipeline.watchlist import Watched


def watched(host: str) -> Watched:
    return Watched(
        monitor=a_monitor(), target=None, shown="", host=host, assigned=("local",), settled_at=START, heard_from=START
    )


def a_job(host: str) -> Job:
    return Job(watched(host), "local", START, 0.0)


class Line:
    """An admission that notes what it started; `room` is what else allows."""

    def __init__(self, max_concurrent: int = 100, max_per_host: int = 100) -> None:
        self.started: list[Job] = []
        self.room = 1000
        self.admission = Admission(
            max_concurrent=max_concurrent,
            max_per_host=max_per_host,
            start=self.started.append,
            room=lambda running: self.room,
        )

    def submit(self, *hosts: str) -> list[Job]:
        jobs = [a_job(host) for host in hosts]
        for job in jobs:
            self.admission.submit(job)
        self.admission.admit()
        return jobs

    def hosts(self) -> list[str]:
        return [job.host for job in self.started]


def test_everything_starts_when_there_is_room() -> None:
    line = Line()
    line.submit("a", "a", "b")
    assert sorted(line.hosts()) == ["a", "a", "b"]
    assert line.admission.waiting == 0
    assert line.admission.running == 3


def test_no_more_than_the_global_limit_run() -> None:
    line = Line(max_concurrent=2)
    line.submit("a", "b", "c")
    assert len(line.started) == 2
    line.admission.finished(line.started[0])
    assert line.hosts() == ["a", "b", "c"]


def test_a_host_at_its_limit_does_not_hold_up_the_others() -> None:
    line = Line(max_per_host=1)
    line.submit("a", "a", "a", "b", "c")
    assert line.hosts() == ["a", "b", "c"]
    line.admission.finished(line.started[0])
    assert line.hosts() == ["a", "b", "c", "a"]


def test_hosts_take_turns_when_places_are_few() -> None:
    line = Line(max_concurrent=1)
    line.submit(*["busy"] * 5, "small")
    line.admission.finished(line.started[0])
    assert line.hosts() == ["busy", "small"]


def test_who_is_waited_for_goes_first() -> None:
    line = Line(max_concurrent=1)
    line.submit("a", "b", "c")
    urgent = a_job("d")
    line.admission.submit(urgent, first=True)
    line.admission.finished(line.started[0])
    assert line.started[-1] is urgent


def test_nothing_starts_without_room_and_it_starts_later() -> None:
    line = Line()
    line.room = 0
    line.submit("a")
    assert line.started == []
    line.room = 1
    line.admission.admit()
    assert line.hosts() == ["a"]


def test_a_forgotten_monitor_no_longer_waits() -> None:
    line = Line(max_concurrent=1)
    jobs = line.submit("a", "b", "b")
    assert line.admission.forget(jobs[1].watched) == [jobs[1]]
    assert line.admission.forget(jobs[1].watched) == []
    line.admission.finished(line.started[0])
    assert line.started == [jobs[0], jobs[2]]
    assert line.admission.waiting == 0


def test_forgetting_the_last_of_a_host_leaves_no_empty_turn() -> None:
    line = Line(max_concurrent=1)
    jobs = line.submit("a", "b", "c")
    line.admission.forget(jobs[1].watched)
    line.admission.finished(line.started[0])
    assert line.hosts() == ["a", "c"]


@given(
    hosts=st.lists(st.sampled_from("abc"), max_size=40),
    total=st.integers(1, 6),
    each=st.integers(1, 3),
    picks=st.lists(st.integers(0, 100), max_size=60),
)
def test_limits_hold_and_nobody_is_forgotten(hosts: list[str], total: int, each: int, picks: list[int]) -> None:
    line = Line(max_concurrent=total, max_per_host=each)
    line.submit(*hosts)
    running = list(line.started)
    seen = len(running)

    def look() -> None:
        nonlocal seen
        running.extend(line.started[seen:])
        seen = len(line.started)
        assert len(running) == line.admission.running <= total
        assert all(sum(job.host == host for job in running) <= each for host in "abc")

    look()
    for pick in [*picks, *[0] * len(hosts)]:
        if running:
            line.admission.finished(running.pop(pick % len(running)))
            look()
    assert sorted(line.hosts()) == sorted(hosts)
    assert line.admission.running == line.admission.waiting == 0


def test_what_waits_is_dropped_at_the_host_where_it_waits() -> None:
    line = Line(max_per_host=1)
    moved, other = watched("old"), a_job("old")
    for job in (Job(moved, "local", START, 0.0), Job(moved, "europe", START, 0.0), other):
        line.admission.submit(job)
    line.admission.admit()
    moved.host = "new"
    assert [job.location for job in line.admission.forget(moved)] == ["europe"]
    assert line.admission.forget(moved) == []
    assert line.admission.waiting == 1
    line.admission.finished(line.started[0])
    assert line.started[1:] == [other]

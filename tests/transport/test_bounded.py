"""The executor that says no: bounded, and alive after jobs that fail."""

from __future__ import annotations

import threading

from cloister.transport.bounded import Bounded


def test_what_is_over_the_bound_is_refused_and_room_comes_back():
    pool = Bounded("test", threads=1, waiting=2)
    hold, done = threading.Event(), threading.Semaphore(0)

    def job():
        hold.wait(30)
        done.release()

    assert [pool.submit(job) for _ in range(4)] == [True, True, True, False]
    hold.set()
    assert all(done.acquire(timeout=30) for _ in range(3))
    finished = threading.Event()
    while not pool.submit(finished.set):  # the last job gives its room back a moment after it is done
        pass
    assert finished.wait(30)
    pool.close()


def test_a_job_that_fails_gives_its_room_back_and_tells_nothing_of_its_words(caplog):
    pool = Bounded("test", threads=1, waiting=0)

    def fails():
        raise RuntimeError("Anna Schmidt")

    for _ in range(3):
        while not pool.submit(fails):
            pass
    finished = threading.Event()
    while not pool.submit(finished.set):
        pass
    assert finished.wait(30)
    pool.close()
    assert "RuntimeError" in caplog.text
    assert "Anna" not in caplog.text


def test_a_closed_pool_takes_nothing():
    pool = Bounded("test", threads=1, waiting=0)
    pool.close()
    assert not pool.submit(lambda: None)
    assert not pool.submit(lambda: None)

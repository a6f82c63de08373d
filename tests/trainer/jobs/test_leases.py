"""Leases expire by a monotonic clock, and only while the watch is not interrupted."""

from trainer.jobs.leases import Lease, LeaseWatch


def test_a_lease_expires_that_is_not_renewed_for_its_whole_time() -> None:
    now = 0.0
    watch = LeaseWatch(lambda: now)
    dead, short = Lease("a", "1", "0", 60.0), Lease("b", "2", "0", 10.0)
    assert watch.expired([dead, short]) == []
    now = 10.0
    assert watch.expired([dead, short]) == [short]
    now = 59.0
    assert watch.expired([dead]) == []
    now = 60.0
    assert watch.expired([dead]) == [dead]


def test_a_renewed_lease_and_a_new_lease_have_their_whole_time() -> None:
    now = 0.0
    watch = LeaseWatch(lambda: now)
    watch.expired([Lease("a", "1", "0", 60.0)])
    now = 59.0
    watch.expired([Lease("a", "1", "1", 60.0)])
    now = 118.0
    assert watch.expired([Lease("a", "1", "1", 60.0)]) == []
    now = 119.0
    assert watch.expired([Lease("a", "2", "0", 60.0)]) == []  # claimed again
    assert watch.expired([]) == []
    assert watch.expired([Lease("a", "1", "1", 60.0)]) == []  # the watch has forgotten the first one


def test_after_an_interruption_all_leases_have_their_whole_time_again() -> None:
    now = 0.0
    watch = LeaseWatch(lambda: now)
    lease = Lease("a", "1", "0", 60.0)
    watch.expired([lease])
    watch.forget()
    now = 1000.0
    assert watch.expired([lease]) == []
    now = 1060.0
    assert watch.expired([lease]) == [lease]

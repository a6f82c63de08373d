"""Whose rows are computed next."""

from itertools import islice

from cgn.engine.fair_queue import TURN_SECONDS, FairQueue, Flow

Queue = FairQueue[str, str]


def push(queue: Queue, name: str, count: int, key: str = "k", flow: Flow | None = None) -> Flow:
    flow = flow or Flow()
    queue.push([(name, key, 1.0)] * count, flow)
    return flow


def test_of_one_flow_the_first_comes_first() -> None:
    queue: Queue = FairQueue()
    flow = Flow()
    for name in "abcdef":
        queue.push([(name, "k", 1.0)], flow)
    assert [*queue.take("k", 4), *queue.take("k", 4)] == list("abcdef")
    assert not queue and queue.take("k", 4) == []


def test_a_single_row_does_not_wait_for_thousands_and_these_do_not_starve() -> None:
    queue: Queue = FairQueue()
    push(queue, "bulk", 3000)
    queue.take("k", 16)
    push(queue, "one", 1)
    assert "one" in queue.take("k", 16)

    served: list[str] = []
    waiting = 0
    for _ in range(100):  # ten single ones wait at any time
        for _ in range(10 - waiting):
            push(queue, "one", 1)
        taken = queue.take("k", 10)
        waiting = 10 - taken.count("one")
        served += taken
    assert 50 <= served.count("bulk") <= 200


def test_of_two_that_ask_for_alike_the_first_is_served_first() -> None:
    queue: Queue = FairQueue()
    for name in "ab":
        queue.push([(name, "k", TURN_SECONDS / 20)] * 10, Flow())
    queue.take("k", 5)
    queue.push([("c", "k", TURN_SECONDS / 20)] * 10, Flow())
    queue.push([("one", "k", TURN_SECONDS / 20)], Flow())
    assert queue.take("k", 26) == ["one"] + ["a"] * 5 + ["b"] * 10 + ["c"] * 10


def test_two_flows_share_evenly_whatever_they_cost() -> None:
    queue: Queue = FairQueue()
    cheap, dear = Flow(), Flow()
    for _ in range(1000):
        queue.push([("cheap", "k", 1.0)], cheap)
        queue.push([("dear", "k", 3.0)], dear)
    served = [name for _ in range(40) for name in queue.take("k", 10)]
    assert 2.7 <= served.count("cheap") / served.count("dear") <= 3.3


def test_keys_take_turns_by_their_first_items() -> None:
    queue: Queue = FairQueue()
    push(queue, "a", 100, key="a")
    push(queue, "b", 100, key="b")
    turns = []
    for _ in range(10):
        turns.append(queue.first())
        queue.take(turns[-1], 10)
    assert sorted(turns) == ["a"] * 5 + ["b"] * 5


def test_what_leaves_is_never_taken_and_does_not_pile_up() -> None:
    queue: Queue = FairQueue()
    kept = Flow()
    for _ in range(50):
        gone = Flow()
        tickets = queue.push([("gone", "k", 1.0)] * 1000, gone)
        queue.push([("kept", "k", 1.0)], kept)
        for ticket in tickets:
            queue.leave(ticket)
            queue.leave(ticket)
        assert gone.waiting == 0 and gone.seconds == 0
    assert len(queue._heaps["k"].entries) < 300
    assert queue.ahead(1000.0) == 50 and queue.ahead(2.0) == 2
    assert [*islice(queue.take("k", 100), 100)] == ["kept"] * 50
    assert not queue


def test_of_others_no_more_is_ahead_than_one_asks_for() -> None:
    queue: Queue = FairQueue()
    push(queue, "a", 1000)
    push(queue, "b", 3)
    assert queue.ahead(10.0) == 13
    assert queue.ahead(0.0) == 0

"""The fair queue: which rows are computed next."""

from itertools import islice

from cgn.engine.fair_queue import TURN_SECONDS, FairQueue, Flow

Queue = FairQueue[str, str]


def push(queue: Queue, name: str, count: int, key: str = "k", flow: Flow | None = None) -> Flow:
    flow = flow or Flow()
    queue.push([(name, key, 1.0)] * count, flow)
    return flow


def test_one_flow_is_served_in_order() -> None:
    queue: Queue = FairQueue()
    flow = Flow()
    for name in "abcdef":
        queue.push([(name, "k", 1.0)], flow)
    assert [*queue.take("k", 4), *queue.take("k", 4)] == list("abcdef")
    assert not queue and queue.take("k", 4) == []


def test_a_single_row_overtakes_thousands_which_do_not_starve() -> None:
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


def test_equal_requests_finish_in_arrival_order() -> None:
    queue: Queue = FairQueue()
    for name in "ab":
        queue.push([(name, "k", TURN_SECONDS / 20)] * 10, Flow())
    queue.take("k", 5)
    queue.push([("c", "k", TURN_SECONDS / 20)] * 10, Flow())
    queue.push([("one", "k", TURN_SECONDS / 20)], Flow())
    assert queue.take("k", 26) == ["one"] + ["a"] * 5 + ["b"] * 10 + ["c"] * 10


def test_two_flows_have_equal_shares_at_different_costs() -> None:
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


def test_items_that_leave_are_never_taken_and_do_not_pile_up() -> None:
    queue: Queue = FairQueue()
    staying = Flow()
    for _ in range(50):
        leaving = Flow()
        tickets = queue.push([("gone", "k", 1.0)] * 1000, leaving)
        queue.push([("kept", "k", 1.0)], staying)
        for ticket in tickets:
            queue.leave(ticket)
            queue.leave(ticket)
        assert leaving.waiting == 0 and leaving.seconds == 0
    assert len(queue._heaps["k"].entries) < 300
    assert queue.ahead(1000.0) == 50 and queue.ahead(2.0) == 2
    assert [*islice(queue.take("k", 100), 100)] == ["kept"] * 50
    assert not queue


def test_at_most_the_requested_amount_of_other_flows_is_ahead() -> None:
    queue: Queue = FairQueue()
    push(queue, "a", 1000)
    push(queue, "b", 3)
    assert queue.ahead(10.0) == 13
    assert queue.ahead(0.0) == 0

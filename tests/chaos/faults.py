"""Faults while a job runs. Each fault repairs itself before it returns, so the job must succeed."""

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from testing.processes import alive
from tests.chaos.job import ChaosJob
from tests.chaos.stack import SERVICES, Stack, Stuck, wait_until
from trainer.jobs.wakeup import QUEUE, celery_app, wake

_NO_CHECKPOINT = "no checkpoint was written, the disk is full"
_MAX_FILE = 10_000_000  # bytes: enough for a log or a model, too few for a checkpoint of three times the size


class TooLate(Exception):
    """There is nothing to disturb: the job has ended, or is between two workers."""


def kill_worker(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Kills the worker with signal 9. Its run must end too."""
    holder = _holder(stack, job)
    run = stack.runs_of(holder)
    stack.kill(holder)
    wait_until("the run to end with its worker", lambda: not any(map(alive, run)), 60.0)
    stack.start(holder)


def kill_run(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Kills a process of the run with signal 9: its guard, or the training."""
    run = stack.runs_of(_holder(stack, job))
    if not run:
        raise TooLate
    with suppress(ProcessLookupError):
        os.kill(random.choice(run), signal.SIGKILL)


def kill_trainer(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    stack.kill("trainer")
    time.sleep(random.uniform(0, 2))
    stack.start("trainer")


def kill_redis(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    stack.kill("redis")
    time.sleep(random.uniform(0, 3))
    stack.start("redis")


def kill_everything(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Kills the whole stack with signal 9, in any order, and starts it again."""
    run = [pid for name in SERVICES for pid in stack.runs_of(name)]
    for name in random.sample(SERVICES, len(SERVICES)):
        stack.kill(name)
    wait_until("the run to end with its worker", lambda: not any(map(alive, run)), 60.0)
    for name in SERVICES:
        stack.start(name)


def stop_worker(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Stops the worker, with or without its run, for longer than its lease (SIGSTOP). Then it continues."""
    holder, token = _holder(stack, job), stack.record(job.job_id).get("token")
    stopped = [stack.pid(holder), *random.choice(([], stack.runs_of(holder)))]
    try:
        for pid in stopped:
            _signal(pid, signal.SIGSTOP)

        def taken_away() -> bool:
            record = stack.record(job.job_id)
            return bool(record) and record.get("token") != token

        wait_until("the lease of a stopped worker to run out", taken_away)
        time.sleep(random.uniform(0, 5))
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)


def end_worker(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Ends the worker by SIGTERM: it hands the job back and exits with code 0."""
    holder = _holder(stack, job)
    run = stack.runs_of(holder)
    os.kill(stack.pid(holder), signal.SIGTERM)
    wait_until("the worker to leave", lambda: stack.exit_code(holder) is not None)
    code, left = stack.exit_code(holder), [pid for pid in run if alive(pid)]
    stack.start(holder)
    if code != 0 or left:
        raise Stuck(f"a worker that was to leave ended with exit code {code} and left {left}")


def deliver_twice(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Sends unneeded wake-ups, and the same submission again."""
    for _ in range(random.randint(2, 5)):
        wake(celery_app(stack.jobs_url))
    again = job.submit(stack)
    if again != job.job_id:
        raise Stuck(f"the request of job {job.job_id} gave another job, {again}")


def deliver_again(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Makes Celery deliver a wake-up again that no worker acknowledged within the visibility timeout."""
    aside = f"{QUEUE}-aside"
    celery_app(stack.jobs_url).send_task("cgn.wake", queue=aside, ignore_result=True)
    message = json.loads(str(stack.redis.rpop(aside)))
    message["properties"]["delivery_info"]["routing_key"] = QUEUE
    tag = message["properties"]["delivery_tag"]
    stack.redis.hset("unacked", tag, json.dumps([message, QUEUE, QUEUE]))
    stack.redis.zadd("unacked_index", {tag: 0.0})
    wait_until("Celery to deliver it again", lambda: not stack.redis.zscore("unacked_index", tag))


def fill_disk(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Limits the size of the run's files until writing a checkpoint has failed."""
    run = stack.runs_of(_holder(stack, job))
    if len(run) < 2:
        raise TooLate
    training = run[1]
    try:
        before = resource.prlimit(training, resource.RLIMIT_FSIZE)
        resource.prlimit(training, resource.RLIMIT_FSIZE, (_MAX_FILE, before[1]))
    except ProcessLookupError:
        raise TooLate from None
    before_fault = job.log_count(_NO_CHECKPOINT)
    wait_until(
        "a checkpoint to fail", lambda: job.log_count(_NO_CHECKPOINT) > before_fault or not alive(training)
    )
    # A quick run may have ended by now, for which there was enough space. The ledger checks how it ended.
    with suppress(ProcessLookupError):
        resource.prlimit(training, resource.RLIMIT_FSIZE, before)
    if job.log_count(_NO_CHECKPOINT) == before_fault:
        raise TooLate


def set_clock(stack: Stack, job: ChaosJob, random: random.Random) -> None:
    """Sets the wall clock back or ahead by up to a day."""
    if not stack.clock.works:
        raise TooLate
    stack.clock.set(random.randint(-86_400, 86_400))
    time.sleep(random.uniform(0, 5))


Fault = Callable[[Stack, ChaosJob, random.Random], None]

FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_worker,
        kill_run,
        kill_trainer,
        kill_redis,
        kill_everything,
        stop_worker,
        end_worker,
        deliver_twice,
        deliver_again,
        fill_disk,
        set_clock,
    )
}


def _holder(stack: Stack, job: ChaosJob) -> str:
    if stack.record(job.job_id).get("state") != "RUNNING":
        raise TooLate
    holder = stack.holder(job.job_id)
    if holder is None:
        raise TooLate
    return holder


def _signal(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)

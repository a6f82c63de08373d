"""`make chaos ROUNDS=50`: real training jobs, and faults at random moments of each.

Every round submits a job, watches it, and injects one or two faults. Some faults kill with signal 9: the
worker, the run, the trainer service, Redis, or all of them. The others are a worker stopped for longer than
its lease, a message delivered twice or again, a full disk, and a clock that is set. The job must end exactly
once, publish one model with exactly the weights of an undisturbed run, and leave no files or processes
behind. Exit code 1: a check failed.
"""

import argparse
import json
import random
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from common.settings import REPO
from tests.chaos.faults import FAULTS, TooLate
from tests.chaos.job import SPEC, STEPS, THREADS, ChaosJob
from tests.chaos.ledger import faults_at_rest, faults_of_job
from tests.chaos.reference import Weights, undisturbed
from tests.chaos.stack import Stack, Stuck, wait_until
from tests.chaos.worker import LEASE_SECONDS, VISIBILITY_SECONDS
from trainer.run.provenance import current_commit, machine

OUTPUT = REPO / "out" / "chaos.json"
SEEDS = 2  # of the trainings
_FIRST_SECONDS = 6.0  # of a run: it imports PyTorch and generates its data


@dataclass(frozen=True)
class Strike:
    """A fault and its moment: `seconds` after the report of a step; step 0: after the claim."""

    fault: str
    step: int
    seconds: float


@dataclass
class Round:
    """A round, as the result file has it."""

    number: int
    seed: int  # of the training
    planned: list[Strike]
    struck: list[str] = field(default_factory=list)  # faults that had something to disturb
    job_id: str = ""
    attempts: int = 0
    connections: int = 0  # of the watcher
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def plan(rounds: int, seed: int, faults: Sequence[str] = tuple(FAULTS)) -> list[Round]:
    """Plans all rounds: every fault equally often, at random moments of the job."""
    chance = random.Random(seed)
    names: list[str] = []
    while len(names) < 2 * rounds:
        names += chance.sample(faults, len(faults))
    planned = []
    for number in range(rounds):
        strikes = [_strike(names.pop(0), chance) for _ in range(chance.choice((1, 1, 2)))]
        planned.append(Round(number, number % SEEDS, sorted(strikes, key=lambda strike: strike.step)))
    return planned


def _strike(fault: str, chance: random.Random) -> Strike:
    if fault == "fill_disk":  # before the last checkpoints
        return Strike(fault, chance.randint(1, STEPS // 2), 0.0)
    kind = chance.random()
    if kind < 0.25:
        return Strike(fault, 0, chance.uniform(0, _FIRST_SECONDS))
    if kind < 0.8:
        return Strike(fault, chance.randint(1, STEPS - 1), chance.uniform(0, 0.5))
    return Strike(fault, STEPS, chance.uniform(0, 1.0))  # while it publishes and ends


def play(round_: Round, stack: Stack, expected: Weights, chance: random.Random) -> ChaosJob:
    """Plays a round, and writes failed checks into it."""
    began = time.monotonic()
    job = ChaosJob(stack, round_.seed)
    round_.job_id = job.job_id
    try:
        for strike in round_.planned:
            wait_until(f"step {strike.step}", partial(_reached, stack, job, strike.step))
            time.sleep(strike.seconds)
            if job.ended:
                break
            try:
                FAULTS[strike.fault](stack, job, chance)
            except TooLate:
                continue
            round_.struck.append(strike.fault)
        job.wait()
        round_.wrong += faults_of_job(stack, job, expected)
    except Stuck as error:
        round_.wrong.append(str(error))
    round_.attempts = int(stack.record(job.job_id).get("attempt", 0))
    round_.connections, round_.seconds = job.connections, round(time.monotonic() - began, 1)
    return job


def _reached(stack: Stack, job: ChaosJob, step: int) -> bool:
    return job.ended or stack.step(job.job_id) >= step


def run(rounds: Sequence[Round], seed: int, folder: Path) -> tuple[list[str], Stack]:
    """Plays all rounds. Returns the failed checks of the state at the end."""
    wrong: list[str] = []
    references = {number: undisturbed(folder, number) for number in sorted({r.seed for r in rounds})}
    chance = random.Random(seed + 1)
    jobs = []
    with Stack(folder / "stack") as stack:
        for round_ in rounds:
            jobs.append(play(round_, stack, references[round_.seed], chance))
            faults = ", ".join(round_.struck) or "no fault struck"
            end = "; ".join(round_.wrong) or "sound"
            print(
                f"round {round_.number + 1} of {len(rounds)}, {round_.seconds:.0f} s, "
                f"{round_.attempts} attempts: {faults}: {end}",
                flush=True,
            )
        wrong += faults_at_rest(stack, jobs)
    if left := stack.strangers():
        wrong.append(f"processes outlived the stack: {left}")
    return wrong, stack


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=50, help="jobs to disturb (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of faults and moments (default: %(default)s)")
    parser.add_argument("--fault", choices=FAULTS, help="inject only this fault (default: all)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write (default: %(default)s)")
    parser.add_argument(
        "--keep", type=Path, help="folder for the files of the stack (default: a temporary one)"
    )
    options = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(options)
    rounds = plan(arguments.rounds, arguments.seed, [arguments.fault] if arguments.fault else tuple(FAULTS))
    commit, began = current_commit(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cgn-chaos-") as temporary:
        folder = (arguments.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        wrong, stack = run(rounds, arguments.seed, folder)
    unsound = [round_.number for round_ in rounds if round_.wrong]
    result: dict[str, Any] = {
        "command": f"python -m tests.chaos {shlex.join(options)}".rstrip(),
        "commit": commit,
        "machine": machine(),
        "seconds": round(time.monotonic() - began, 1),
        "passed": not wrong and not unsound,
        "spec": dict(SPEC),
        "cpu_threads": THREADS,
        "lease_seconds": LEASE_SECONDS,
        "visibility_timeout_seconds": VISIBILITY_SECONDS,
        "clock_of_all_processes_could_be_set": stack.clock.works,
        "struck": dict(sorted(Counter(fault for round_ in rounds for fault in round_.struck).items())),
        "sound_rounds": len(rounds) - len(unsound),
        "wrong_at_the_end": wrong,
        "rounds": [asdict(round_) for round_ in rounds],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for line in wrong:
        print(f"wrong at the end: {line}")
    print(f"{result['sound_rounds']} of {len(rounds)} rounds sound; details in {arguments.out}")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

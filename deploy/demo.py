"""`make demo`: counterfactuals of every shipped model, a training job, the served result, and metrics.

The demo starts its own services, in a temporary folder and on free ports.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgn_api.v1 import trainer_pb2
from cgn_client import CgnError, Client, describe
from common.settings import REPO
from deploy.compose import ComposeError
from deploy.counterfactuals import counterfactual_sheet
from deploy.headline import Metrics, generator_lines, trainer_lines
from deploy.job_progress import JobProgress, fitted
from deploy.local import LocalStack, StackError, sigterm_as_ctrl_c

VARIANTS = ("colored_mnist", "double_colored_mnist", "wildlife_mnist")
SERVICES = ("redis-jobs", "redis-cache", "generator", "trainer", "worker")
# A short job after which digits are recognisable. publish_collapsed: the model is published even if the masks
# of a class fail the collapse check so early; its log and the model's card report that.
TRAINING: dict[str, Any] = {
    "model_name": "demo",
    "dataset": "colored_mnist",
    "steps": 1000,
    "publish_collapsed": True,
}
OUTPUT = REPO / "out" / "demo"
_SERVED_WITHIN_SECONDS = 60.0
_COUNTED_WITHIN_SECONDS = 10.0  # the trainer updates its job metrics every few seconds


class DemoError(RuntimeError):
    """The demo cannot continue; the message states why."""


def demo(folder: Path) -> None:
    """Runs the demo; the services' data is in `folder`. Raises DemoError, CgnError, StackError, OSError."""
    began = time.monotonic()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    _say("1. Starting the services")
    with LocalStack(apart=folder, services=SERVICES) as stack:
        _say(stack.table())
        with Client(stack.address("generator"), stack.address("trainer")) as client:
            threading.Thread(target=_end_calls_of_a_lost_stack, args=(stack, client), daemon=True).start()
            try:
                _draw_shipped_models(client)
                name, version = _train(client)
                _await_served(client, name, version)
                _draw(client, name, version, OUTPUT / "trained.png")
                _show_metrics(stack)
            except (CgnError, OSError, ValueError):  # ValueError: a call on the closed client
                stack.check()  # if a service has ended, its error is the better explanation
                raise
        _say("\nStopping the services")
    _say(f"Done in {time.monotonic() - began:.0f} s. The pictures are in {_shown(OUTPUT)}/*.png")


def _end_calls_of_a_lost_stack(stack: LocalStack, client: Client) -> None:
    """Closes the client when a service ends. Otherwise watch() would wait forever for an ended worker."""
    with contextlib.suppress(StackError):
        while True:
            stack.check()
            time.sleep(1.0)
    client.close()


def _draw_shipped_models(client: Client) -> None:
    _say("\n2. Drawing counterfactuals of every shipped model")
    for variant in VARIANTS:
        _draw(client, variant, "", OUTPUT / f"{variant}.png")


def _draw(client: Client, model: str, version: str, path: Path) -> None:
    counterfactual_sheet(client, model, version).save(path)
    _say(f"  {_shown(path)}")


def _train(client: Client) -> tuple[str, str]:
    """Trains a CGN as a job. Returns name and version of the published model."""
    job = client.submit("train_cgn", **TRAINING)
    _say("\n3. Training a model of your own; this takes a few minutes")
    _say(fitted(f"  queued {describe(job)}"))
    with JobProgress() as progress:
        for event in client.watch(job.job_id):
            progress.show(event)
    job = client.get_job(job.job_id)
    if job.state != trainer_pb2.JOB_STATE_SUCCEEDED:
        state = trainer_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
        raise DemoError(f"training job {job.job_id} ended as {state}: {job.message}")
    return job.model_name, job.model_version


def _await_served(client: Client, name: str, version: str) -> None:
    deadline = time.monotonic() + _SERVED_WITHIN_SECONDS
    while (name, version) not in {(model.name, model.version) for model in client.list_models()}:
        if time.monotonic() > deadline:
            seconds = f"{_SERVED_WITHIN_SECONDS:.0f} s"
            raise DemoError(f"the generator does not serve {name}/{version} after {seconds}")
        time.sleep(0.5)
    _say(f"\n4. The generator serves the new model {name}/{version}, without a restart")


def _show_metrics(stack: LocalStack) -> None:
    _say("\n5. Metrics, from the pages that Prometheus reads")
    generator = Metrics.read(stack.address("generator", 9101))
    deadline = time.monotonic() + _COUNTED_WITHIN_SECONDS
    while True:
        trainer = Metrics.read(stack.address("trainer", 9102))
        if trainer.total("cgn_jobs", state="SUCCEEDED") or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for line in generator_lines(generator) + trainer_lines(trainer):
        _say(f"  {line}")


def _shown(path: Path) -> Path:
    return path.relative_to(REPO) if path.is_relative_to(REPO) else path


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str] = ()) -> int:
    argparse.ArgumentParser(
        prog="python -m deploy.demo",
        description="Demonstrates the whole system: counterfactuals of every shipped model, a training job, "
        "the trained model served, and metrics. It starts its own services and writes pictures to out/demo/.",
    ).parse_args(arguments)
    sigterm_as_ctrl_c()
    folder = Path(tempfile.mkdtemp(prefix="cgn-demo-"))
    try:
        demo(folder)
    except KeyboardInterrupt:
        _say("\nStopped")
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    except (DemoError, CgnError, StackError, ComposeError, OSError) as error:
        print(f"error: {error}\nThe services' logs are in {folder / 'log'}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

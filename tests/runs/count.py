"""A run that counts: `python -m tests.runs.count`, with the options and the protocol of train_cgn.

Each step takes `lr_generator` seconds; a checkpoint, every `checkpoint_every` steps, is the number of
steps done. The name of the model sets the behaviour:
  fail      fails at step 2 with a reason
  crash     is killed by a signal at step 2
  stubborn  ignores SIGTERM
  parent    first starts another process in a new session, and logs its pid
  hungry    allocates a gigabyte of memory at step 2
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trainer.mnist.config import TrainCgnConfig
from trainer.run.cli import run_command
from trainer.run.context import Published, RunContext, RunError, Stopped


def count(config: TrainCgnConfig, context: RunContext) -> Published:
    reporter = context.reporter
    if config.model_name == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if config.model_name == "parent":
        grandchild = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        reporter.log(f"grandchild {grandchild.pid}")
    checkpoints = sorted(context.run_dir.glob("checkpoint-*.txt"))
    done = int(checkpoints[-1].read_text()) if context.resume and checkpoints else 0
    reporter.log(f"pid {os.getpid()}, begins at step {done}, threads {os.environ.get('OMP_NUM_THREADS')}")
    reporter.log(f"waits {os.environ.get('OMP_WAIT_POLICY')}")
    reporter.log(f"GPUs {os.environ.get('CUDA_VISIBLE_DEVICES')}")
    blocks: list[bytes] = []
    reporter.begin(done, config.steps, images_per_step=config.batch_size)
    while done < config.steps:
        time.sleep(config.lr_generator)
        done += 1
        reporter.progress(done, {"loss": 1 / done}, mu_mask=0.25)
        if config.model_name == "fail" and done == 2:
            raise RunError("the digits are gone; bring them back")
        if config.model_name == "hungry" and done == 2:
            blocks.append(b"x" * (1 << 30))
        if config.model_name == "crash" and done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if done % config.checkpoint_every == 0 or context.stop.requested:
            checkpoint = context.run_dir / f"checkpoint-{done:06d}.txt"
            checkpoint.write_text(str(done))
            reporter.artefact("checkpoint", checkpoint)
        if context.stop.requested:
            raise Stopped
    return Published(config.model_name, _publish(config.model_name, context))


def _publish(name: str, context: RunContext) -> str:
    model: Path = context.models_dir / name / context.version
    model.mkdir(parents=True, exist_ok=True)
    (model / "card.json").write_text("{}")
    context.reporter.artefact("model", model)
    return context.version


if __name__ == "__main__":
    sys.exit(run_command(TrainCgnConfig, count, "Counts."))

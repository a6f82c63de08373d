"""A real training job of a few steps, and a client that watches it despite all faults."""

import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

import grpc

from cgn_api.v1 import trainer_pb2 as pb
from tests.chaos.stack import PATIENCE_SECONDS, Stack, Stuck

MODEL = "chaos"
STEPS = 60  # enough that the faults can act before the end, on any machine
SPEC: Mapping[str, Any] = {
    "model_name": MODEL,
    "dataset": "double_colored_mnist",
    "steps": STEPS,
    "batch_size": 4,
    "train_images": 100,
    "checkpoint_every": 3,
    "sample_every": 1000,
    "publish_collapsed": True,  # masks do not form in so few steps
}
THREADS = 1  # of a run; the exact weights depend on it
_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


class ChaosJob:
    """A job that is submitted and watched from its construction on.

    Attributes:
        seed: of its training.
        events: all events that the watcher received, in order, over all its connections.
    """

    def __init__(self, stack: Stack, seed: int) -> None:
        self.seed = seed
        self._request_id = str(uuid.uuid4())
        self.events: list[pb.JobEvent] = []
        self.connections = 0
        self.job_id = self.submit(stack)
        self._watcher = threading.Thread(target=self._watch, args=(stack,), daemon=True)
        self._watcher.start()

    def submit(self, stack: Stack) -> str:
        """Submits the job, again after a transient error with the same request id. Returns the job's id."""
        spec = pb.JobSpec(train_cgn=pb.TrainCgnSpec(**SPEC, seed=self.seed))
        spec.resources.cpu_threads = THREADS
        request = pb.SubmitJobRequest(spec=spec, request_id=self._request_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return str(stack.stub.SubmitJob(request, timeout=20).job_id)
            except grpc.RpcError as error:
                if error.code() not in _TRANSIENT or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def _watch(self, stack: Stack) -> None:
        while True:
            self.connections += 1
            after = self.events[-1].event_id if self.events else ""
            try:
                for event in stack.stub.WatchJob(
                    pb.WatchJobRequest(job_id=self.job_id, after_event_id=after), wait_for_ready=True
                ):
                    self.events.append(event)
                return
            except grpc.RpcError:
                time.sleep(0.3)
            except ValueError:  # the channel is closed: the suite has ended
                return

    def log_count(self, text: str) -> int:
        """Returns the number of log lines with this text."""
        return sum(text in event.log_line for event in list(self.events))

    @property
    def ended(self) -> bool:
        """Whether the watcher has seen the job's end."""
        return not self._watcher.is_alive()

    def wait(self) -> None:
        """Waits for the watcher to see the job's end. Raises Stuck."""
        self._watcher.join(PATIENCE_SECONDS)
        if not self.ended:
            raise Stuck(f"waited {PATIENCE_SECONDS:g} s for the end of job {self.job_id}")

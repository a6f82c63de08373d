"""A client generated only from the protos can request images and check a job."""

import subprocess
import sys
from pathlib import Path

from common.settings import REPO
from testing.generator_process import GeneratorProcess
from testing.processes import free_port
from testing.random_model import publish_random
from testing.redis_process import JOBS_FLAGS, LocalRedis
from testing.trainer_process import TrainerProcess

CLIENT = """
import sys

stubs, generator, trainer = sys.argv[1:]
sys.path.insert(0, stubs)

import grpc
from cgn_api.v1 import generator_pb2, generator_pb2_grpc, trainer_pb2, trainer_pb2_grpc

assert generator_pb2.__file__.startswith(stubs)

with grpc.insecure_channel(generator) as channel:
    factor = generator_pb2.Factor(label_name="three", seed=2**64 - 1)
    request = generator_pb2.GenerateRequest(
        model="tiny",
        composites=[generator_pb2.Composite(shape=factor, texture=factor, background=factor)] * 2,
        outputs=[generator_pb2.OUTPUT_COMPOSITE, generator_pb2.OUTPUT_MASK],
        encoding=generator_pb2.ENCODING_RAW_UINT8,
    )
    response = generator_pb2_grpc.GeneratorServiceStub(channel).Generate(request)
    assert len(response.results) == 2
    for result in response.results:
        assert (result.shape.label_index, result.shape.seed) == (3, 2**64 - 1)
        composite, mask = result.images
        assert (composite.height, composite.width, composite.channels) == (32, 32, 3)
        assert len(composite.data) == 32 * 32 * 3 and len(mask.data) == 32 * 32
        assert abs(sum(mask.data) / 255 / len(mask.data) - result.mu_mask) < 1e-6

with grpc.insecure_channel(trainer) as channel:
    train = trainer_pb2.TrainCgnSpec(model_name="mine", dataset="colored_mnist", steps=20)
    request = trainer_pb2.SubmitJobRequest(spec=trainer_pb2.JobSpec(train_cgn=train), validate_only=True)
    job = trainer_pb2_grpc.TrainerServiceStub(channel).SubmitJob(request)
    assert job.spec.train_cgn.steps == 20 and job.spec.train_cgn.batch_size > 0

assert not {"cgn", "cgn_client", "services", "torch"} & set(sys.modules)
"""


def test_a_client_needs_only_the_protos(tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    protos = sorted((REPO / "protos").rglob("*.proto"))
    out = [f"--python_out={stubs}", f"--grpc_python_out={stubs}"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={REPO / 'protos'}", *out]
    subprocess.run([*protoc, *map(str, protos)], check=True)
    publish_random(tmp_path / "models", "tiny")
    with (
        LocalRedis(free_port(), tmp_path / "redis", JOBS_FLAGS) as jobs,
        GeneratorProcess(tmp_path / "models") as generator,
        TrainerProcess(jobs.url, tmp_path) as trainer,
    ):
        trainer.wait_for_health("SERVING")
        client = subprocess.run(
            # Isolated: neither the folder it runs in nor PYTHONPATH is searched for modules.
            [sys.executable, "-I", "-c", CLIENT, str(stubs), generator.address, trainer.address],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
    assert client.returncode == 0, client.stderr

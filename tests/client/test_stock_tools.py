"""Stock tools work with the generator by reflection: grpcurl, buf curl and k6."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.settings import REPO
from services.edge.callers import token_hash
from testing.generator_process import GeneratorProcess
from testing.random_model import publish_random

pytestmark = pytest.mark.long

SERVICE = "cgn_api.v1.GeneratorService"
BEARER = "authorization: Bearer stock"
IMAGE = {
    "model": "tiny",
    "composites": [
        {
            "shape": {"label_index": 3, "seed": "1"},
            "texture": {"label_name": "five", "seed": "2"},
            "background": {"label_index": 8},
        }
    ],
    "outputs": ["OUTPUT_COMPOSITE", "OUTPUT_MASK"],
    "encoding": "ENCODING_RAW_UINT8",
}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    folder = tmp_path_factory.mktemp("stock")
    publish_random(folder / "models", "tiny", "v1")
    tokens = folder / "tokens.toml"
    tokens.write_text(
        f'[[caller]]\nname = "stock"\nroles = ["generate"]\ntoken_sha256 = "{token_hash("stock").hex()}"\n'
    )
    with GeneratorProcess(folder / "models", CGN_TOKENS_FILE=str(tokens)) as process:
        yield process


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = Path(sys.executable).with_name(program)
    return subprocess.run(
        [path, *arguments], cwd=REPO, capture_output=True, text=True, timeout=100, check=False
    )


def grpcurl(generator: GeneratorProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("grpcurl", "-plaintext", "-H", BEARER, *arguments)


def test_grpcurl_discovers_the_api_and_generates_an_image(generator: GeneratorProcess) -> None:
    assert SERVICE in grpcurl(generator, generator.address, "list").stdout.splitlines()
    described = grpcurl(generator, generator.address, "describe", SERVICE).stdout
    assert "rpc Generate ( .cgn_api.v1.GenerateRequest )" in described
    drawn = grpcurl(generator, "-d", json.dumps(IMAGE), generator.address, f"{SERVICE}/Generate")
    (result,) = json.loads(drawn.stdout)["results"]
    assert result["texture"]["label_name"] == "five" and result["shape"]["seed"] == "1"
    assert [image["channels"] for image in result["images"]] == [3, 1]


def test_grpcurl_shows_errors(generator: GeneratorProcess) -> None:
    request = json.dumps(IMAGE | {"outputs": []})
    refused = grpcurl(generator, "-d", request, generator.address, f"{SERVICE}/Generate")
    assert refused.returncode != 0
    assert "Code: InvalidArgument" in refused.stderr
    assert "google.rpc.BadRequest" in refused.stderr and '"field":"outputs"' in refused.stderr
    nobody = run("grpcurl", "-plaintext", generator.address, "list")
    assert nobody.returncode != 0 and "requires a token" in nobody.stderr


def test_buf_curl_generates_an_image(generator: GeneratorProcess) -> None:
    bearer = ("--reflect-header", BEARER, "-H", BEARER)
    common = ("curl", "--protocol", "grpc", "--http2-prior-knowledge", *bearer)
    drawn = run("buf", *common, "-d", json.dumps(IMAGE), f"http://{generator.address}/{SERVICE}/Generate")
    (result,) = json.loads(drawn.stdout)["results"]
    assert [image["output"] for image in result["images"]] == IMAGE["outputs"]
    listed = run("buf", *common, "-d", "{}", f"http://{generator.address}/{SERVICE}/ListModels")
    assert [model["name"] for model in json.loads(listed.stdout)["models"]] == ["tiny"]


def test_k6_load_is_answered(generator: GeneratorProcess) -> None:
    settings = {"ADDRESS": generator.address, "TOKEN": "stock", "MODEL": "tiny", "RATE": "5", "SECONDS": "10"}
    words = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    before = generator.metrics().get("cgn_images_total", 0.0)
    ran = run("k6", "run", "--quiet", "--no-usage-report", *words, "deploy/k6_load.js")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "✓ answered with every image" in ran.stdout
    assert generator.metrics()["cgn_images_total"] - before >= 16 * 5

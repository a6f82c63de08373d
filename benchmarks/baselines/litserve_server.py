"""LitServe around plain PyTorch.

Command: `python -m benchmarks.baselines.litserve_server PORT MODELS_DIR MODEL MAX_BATCH`.
"""

import sys
from pathlib import Path
from typing import Any

import litserve as ls
import torch
from fastapi import Response

from benchmarks.baselines.plain import Plain

BATCH_TIMEOUT = 0.005  # seconds that a batch waits for further requests


class Counterfactuals(ls.LitAPI):  # type: ignore[misc]
    """Labels and a seed as JSON -> pixels of all images, uint8."""

    def __init__(self, models_dir: Path, model: str, **options: Any) -> None:
        super().__init__(**options)
        self._where = models_dir, model

    def setup(self, device: str) -> None:
        self._plain = Plain(*self._where)
        self._images: list[int] = []

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        return self._plain.causes(request["labels"], request["seed"])

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        self._images = [len(causes) for causes in inputs]
        return torch.cat(inputs)

    def predict(self, causes_NK: torch.Tensor) -> torch.Tensor:
        return self._plain.pixels(causes_NK)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        return list(output.split(self._images))

    def encode_response(self, output: torch.Tensor) -> Response:
        return Response(output.numpy().tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    port, models_dir, model, most = sys.argv[1:]
    api = Counterfactuals(
        Path(models_dir), model, max_batch_size=int(most), batch_timeout=BATCH_TIMEOUT, api_path="/generate"
    )
    server = ls.LitServer(api, accelerator="cpu", timeout=600)
    server.run(port=int(port), host="127.0.0.1", generate_client_file=False, log_level="warning")

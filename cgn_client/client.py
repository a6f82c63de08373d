"""The client: images from the generator, jobs from the trainer."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Literal, Self

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_api.v1.trainer_pb2_grpc import TrainerServiceStub
from cgn_client.channels import Tls, open_channel
from cgn_client.composites import (
    Animation,
    Encoding,
    Output,
    animation_number,
    check_composite,
    encoding_number,
    output_numbers,
    path_number,
)
from cgn_client.errors import bad_value, convert_errors
from cgn_client.fields import put, set_fields
from cgn_client.jobs import JobCalls
from cgn_client.results import Result, results_of
from cgn_client.streams import (
    Chunk,
    FactorLike,
    Policy,
    Samples,
    chunk_of,
    factors_of,
    sample_request,
    samples_of,
)


class Client(JobCalls):
    """Calls a generator and a trainer. It connects at the first call; threads may share it.

    Args:
        generator: host:port of GeneratorService.
        trainer: host:port of TrainerService.
        timeout: seconds per call; watch() and endless streams have no limit.
        token: identifies the caller; None: CGN_TOKEN.
        tls: True, or TLS settings; None: from CGN_TLS and CGN_TLS_* (cgn_client/channels.py).

    The constructor and every method raise CgnError.
    """

    def __init__(
        self,
        generator: str = "127.0.0.1:50051",
        trainer: str = "127.0.0.1:50052",
        timeout: float = 60.0,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
    ) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            raise bad_value("timeout", f"must be seconds, more than 0, is {timeout!r:.80}")
        self._timeout = timeout
        self._closed = False
        self._channels = tuple(open_channel(address, token, tls) for address in (generator, trainer))
        self._generator: Any = GeneratorServiceStub(self._channels[0])
        self._trainer: Any = TrainerServiceStub(self._channels[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections and cancels running calls."""
        self._closed = True
        for channel in self._channels:
            channel.close()

    def generate(
        self,
        model: str,
        composites: Iterable[pb.Composite],
        outputs: Sequence[Output] = ("composite",),
        *,
        encoding: Encoding = "raw_uint8",
        version: str = "",
        hard_mask: bool = False,
    ) -> list[Result]:
        """Generates images. Returns one Result per composite, in their order.

        Args:
            composites: from composite().
            version: version of the model; empty: the newest.
            hard_mask: whether masks are thresholded at 1/2.

        A response above 4 MiB is an error whose message states how many composites fit.
        """
        if isinstance(composites, pb.Composite):
            raise bad_value("composites", "is one composite; give a list")
        request = pb.GenerateRequest(
            composites=[check_composite(f"composites[{i}]", item) for i, item in enumerate(composites)],
            outputs=output_numbers(outputs),
            encoding=encoding_number(encoding),
        )
        set_fields(request, model=model, version=version, hard_mask=hard_mask)
        with convert_errors():
            return results_of(self._generator.Generate(request, timeout=self._timeout))

    def interpolate(
        self,
        model: str,
        start: pb.Composite,
        end: pb.Composite,
        outputs: Sequence[Output] = ("composite",),
        *,
        midpoints: int = 8,
        path: Literal["linear", "spherical"] = "linear",
        encoding: Encoding = "raw_uint8",
        version: str = "",
        hard_mask: bool = False,
    ) -> Generator[Result]:
        """Generates a sequence of images from one composite to another, both included.

        Yields each Result as soon as it arrives. Mechanisms and seeds that `end` omits come from `start`.
        """
        request = self._interpolation(model, start, end, outputs, midpoints, path, version, hard_mask)
        request.encoding = encoding_number(encoding)
        for part in _parts(self._generator.Interpolate, request, timeout=self._timeout):
            yield from results_of(part.frame.response)

    def animate(
        self,
        model: str,
        start: pb.Composite,
        end: pb.Composite,
        output: Output = "composite",
        *,
        animation: Animation = "gif",
        frames_per_second: int = 12,
        midpoints: int = 24,
        path: Literal["linear", "spherical"] = "linear",
        version: str = "",
        hard_mask: bool = False,
    ) -> bytes:
        """Returns the bytes of an animation file from one composite to another; see interpolate()."""
        request = self._interpolation(model, start, end, [output], midpoints, path, version, hard_mask)
        request.animation = animation_number(animation)
        put(request, "frames_per_second", frames_per_second)
        with convert_errors():
            parts = self._generator.Interpolate(request, timeout=self._timeout)
            return b"".join(part.animation for part in parts)

    def _interpolation(
        self,
        model: str,
        start: pb.Composite,
        end: pb.Composite,
        outputs: Sequence[Output],
        midpoints: int,
        path: str,
        version: str,
        hard_mask: bool,
    ) -> pb.InterpolateRequest:
        request = pb.InterpolateRequest(
            start=check_composite("start", start),
            end=check_composite("end", end),
            path=path_number(path),
            outputs=output_numbers(outputs),
        )
        return set_fields(request, model=model, version=version, midpoints=midpoints, hard_mask=hard_mask)

    def generate_product(
        self,
        model: str,
        shapes: Iterable[FactorLike] = (),
        textures: Iterable[FactorLike] = (),
        backgrounds: Iterable[FactorLike] = (),
        outputs: Sequence[Output] = ("composite",),
        *,
        encoding: Encoding = "raw_uint8",
        version: str = "",
        hard_mask: bool = False,
        start: int = 0,
    ) -> Generator[Chunk]:
        """Generates every combination of sets of factors; yields chunks of combinations as they arrive.

        Each factor is a label or a Factor. Backgrounds change fastest, shapes slowest. `start`: index of the
        first combination, to resume after an interruption; all seeds must be given then.
        """
        request = pb.GenerateProductRequest(
            shapes=factors_of("shapes", shapes),
            textures=factors_of("textures", textures),
            backgrounds=factors_of("backgrounds", backgrounds),
            outputs=output_numbers(outputs),
            encoding=encoding_number(encoding),
        )
        set_fields(request, model=model, version=version, start=start, hard_mask=hard_mask)
        header = pb.ProductHeader()
        for part in _parts(self._generator.GenerateProduct, request):
            if part.HasField("header"):
                header = part.header
            else:
                yield chunk_of(header, part.chunk)

    def sample(
        self,
        model: str,
        policy: Policy | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        stop: int | None = None,
        batch: int | None = None,
        stride: int | None = None,
        outputs: Sequence[Output] = ("composite",),
        version: str = "",
        digest: str = "",
        hard_mask: bool = False,
    ) -> Generator[Samples]:
        """Generates random labelled counterfactuals, in batches; endless without `stop`.

        Sample i depends only on the model's digest, the seed, the policy and i. For PyTorch see
        cgn_client.torch_data.
        """
        request = sample_request(
            model,
            policy or Policy(),
            seed=seed,
            start=start,
            stop=stop,
            batch=batch,
            stride=stride,
            outputs=outputs,
            version=version,
            digest=digest,
            hard_mask=hard_mask,
        )
        header = pb.SampleHeader()
        for part in _parts(self._generator.Sample, request):
            if part.HasField("header"):
                header = part.header
            else:
                yield samples_of(header, part.batch)

    def load_model(self, model: str, version: str = "") -> pb.Model:
        """Loads a version into the generator's memory. Returns once the version is warmed up."""
        request = set_fields(pb.LoadModelRequest(), model=model, version=version)
        return self._model(self._generator.LoadModel, request)

    def unload_model(self, model: str, version: str = "") -> pb.Model:
        """Unloads a version. It is not served again before load_model()."""
        request = set_fields(pb.UnloadModelRequest(), model=model, version=version)
        return self._model(self._generator.UnloadModel, request)

    def delete_model(self, model: str, version: str) -> None:
        """Deletes a version from the generator's disk; this cannot be undone."""
        request = set_fields(pb.DeleteModelRequest(), model=model, version=version)
        with convert_errors():
            self._generator.DeleteModel(request, timeout=self._timeout)

    def set_alias(self, model: str, alias: str, version: str) -> pb.Model:
        """Points an alias, such as "stable", at a version; an empty version removes the alias."""
        request = set_fields(pb.SetAliasRequest(), model=model, alias=alias, version=version)
        return self._model(self._generator.SetAlias, request)

    def list_models(self) -> list[pb.Model]:
        """Returns every served model version, sorted by name, newest version first."""
        models: list[pb.Model] = []
        token = ""
        with convert_errors():
            while True:
                request = pb.ListModelsRequest(page_token=token)
                answer = self._generator.ListModels(request, timeout=self._timeout)
                models += answer.models
                token = answer.next_page_token
                if not token:
                    return models

    def get_model(self, model: str, version: str = "") -> pb.Model:
        """Returns one model version. "latest" or empty: the newest; an alias: its version."""
        request = set_fields(pb.GetModelRequest(), model=model, version=version)
        return self._model(self._generator.GetModel, request)

    def _model(self, method: Any, request: Any) -> pb.Model:
        with convert_errors():
            model: pb.Model = method(request, timeout=self._timeout)
        return model


def _parts(method: Any, request: Any, timeout: float | None = None) -> Iterator[Any]:
    """Yields the responses of a stream. Cancels the stream if the reader stops early."""
    with convert_errors():
        call = method(request, timeout=timeout)
        try:
            yield from call
        finally:
            call.cancel()

"""Which role each RPC of GeneratorService needs, and how many images it produces."""

from cgn_api.v1 import generator_pb2 as pb
from services.edge.rules import ImagesRequested, RpcRule, service_rules
from services.generator.plan.interpolate import midpoints


def _generate_images(request: pb.GenerateRequest) -> int:
    return len(request.composites) * len(request.outputs)


def _interpolate_images(request: pb.InterpolateRequest) -> int:
    return (midpoints(request) + 2) * len(request.outputs)


def _product_images(request: pb.GenerateProductRequest, response: pb.GenerateProductResponse) -> int:
    return response.chunk.count * len(request.outputs)


def _sample_images(request: pb.SampleRequest, response: pb.SampleResponse) -> int:
    return len(response.batch.shape_labels) * max(1, len(request.outputs))


SERVICE_NAME = pb.DESCRIPTOR.services_by_name["GeneratorService"].full_name

RULES = service_rules(
    SERVICE_NAME,
    {
        "Generate": RpcRule("generate", ImagesRequested("composites", _generate_images)),
        "Interpolate": RpcRule("generate", ImagesRequested("midpoints", _interpolate_images)),
        "GenerateProduct": RpcRule("generate", images_sent=_product_images),
        "Sample": RpcRule("generate", images_sent=_sample_images),
        "ListModels": RpcRule("generate"),
        "GetModel": RpcRule("generate"),
        "LoadModel": RpcRule("admin"),
        "UnloadModel": RpcRule("admin"),
        "DeleteModel": RpcRule("admin"),
        "SetAlias": RpcRule("admin"),
    },
)

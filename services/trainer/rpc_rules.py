"""Which role each RPC of TrainerService needs."""

from cgn_api.v1 import trainer_pb2 as pb
from services.edge.rules import RpcRule, service_rules

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["TrainerService"].full_name

RULES = service_rules(
    SERVICE_NAME,
    {
        "SubmitJob": RpcRule("train"),
        "GetJob": RpcRule("train"),
        "ListJobs": RpcRule("train"),
        "WatchJob": RpcRule("train"),
        "CancelJob": RpcRule("train"),
        "ResumeJob": RpcRule("train"),
        "RetryJob": RpcRule("train"),
        "DeleteJob": RpcRule("train"),
        "GetArtifact": RpcRule("train"),
    },
)

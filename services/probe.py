"""Health probe: `python -m services.probe HOST:PORT` exits 0 if the server there is SERVING, else 1."""

import argparse
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def probe(address: str, seconds: float) -> str:
    """The health of the server at host:port: SERVING, NOT_SERVING, or the gRPC status of the failure."""
    with grpc.insecure_channel(address) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
            return code.name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.probe", description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="SECONDS")
    args = parser.parse_args()
    state = probe(args.address, args.timeout)
    print(f"{args.address}: {state}")
    return 0 if state == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main())

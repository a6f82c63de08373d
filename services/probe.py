"""Health probe: `python -m services.probe HOST:PORT` exits 0 if the server there is SERVING, else 1.

It runs beside the server with the server's environment. If CGN_TLS_CERT is set, the probe uses TLS. It trusts
CGN_TLS_CA, else CGN_TLS_CERT. It expects the name CGN_TLS_SERVER_NAME, else the host of the address. If the
server requires client certificates, the probe presents the server's own certificate.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.settings import EdgeSettings, SettingsError


def probe(address: str, seconds: float, env: Mapping[str, str] = os.environ) -> str:
    """Returns the health of the server at host:port: SERVING, NOT_SERVING, or the gRPC status of the failure.

    seconds: timeout. Raises SettingsError.
    """
    with _channel(address, env) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
            return code.name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _channel(address: str, env: Mapping[str, str]) -> grpc.Channel:
    edge = EdgeSettings.from_env(env)
    if edge.tls_cert is None or edge.tls_key is None:
        return grpc.insecure_channel(address)
    roots = Path(env.get("CGN_TLS_CA") or edge.tls_cert).read_bytes()
    own = (edge.tls_key.read_bytes(), edge.tls_cert.read_bytes()) if edge.tls_client_ca else (None, None)
    name = env.get("CGN_TLS_SERVER_NAME")
    options = [("grpc.ssl_target_name_override", name)] if name else []
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots, *own), options)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.probe", description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="SECONDS")
    args = parser.parse_args()
    try:
        state = probe(args.address, args.timeout)
    except (SettingsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.address}: {state}")
    return 0 if state == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a server says of a call that it refuses, read from the wire by stock means."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status


def refusal(method: Any, request: Any) -> tuple[str, str, dict[str, str]]:
    """Status, reason and violations of a call that must fail, of one answer or of a stream."""
    with pytest.raises(grpc.RpcError) as caught:
        _whole(method(request, timeout=60))
    call: Any = caught.value
    status = rpc_status.from_call(call)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info) and info.domain == "cgn"
    for detail in status.details[1:]:
        detail.Unpack(bad)
    assert "\n" not in status.message
    violations = {violation.field: violation.description for violation in bad.field_violations}
    return call.code().name, info.reason, violations


def _whole(answer: Any) -> None:
    """Reads a stream to its end; a single answer is there already."""
    if isinstance(answer, grpc.Call):
        for _ in answer:  # type: ignore[attr-defined]
            pass

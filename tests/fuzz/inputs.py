"""The input: requests generated from descriptors, valid requests with changes, and arbitrary bytes."""

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_DEEPEST = 4  # messages within messages
_MOST_ENTRIES = 4

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


@dataclass(frozen=True)
class Call:
    """An RPC with bytes for a request.

    Attributes:
        method: full name, /package.Service/Method.
        streams: whether the response is a stream.
        request: bytes sent as the request message.
        metadata: of the RPC.
    """

    method: str
    streams: bool
    request: bytes
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Raw:
    """Bytes for a new connection to the port."""

    data: bytes


Input = Call | Raw


def _integers(lowest: int, highest: int) -> st.SearchStrategy[int]:
    edges = {lowest, lowest + 1, highest - 1, highest, -1, 0, 1, 2, 9, 10, 4096, 10**18}
    return st.one_of(
        st.sampled_from(sorted(edge for edge in edges if lowest <= edge <= highest)),
        st.integers(max(lowest, -1), min(highest, 12)),
        st.integers(lowest, highest),
    )


def _texts(known: Sequence[str]) -> st.SearchStrategy[str]:
    odd = ["", " ", "..", "../tiny", "/etc/passwd", "\x00", "𝄞" * 300, "x" * 5000, "%s%n", "{}", "nul\x00l"]
    letters = st.characters(exclude_categories=["Cs"])
    return st.one_of(st.sampled_from(known), st.sampled_from(odd), st.text(letters, max_size=20))


def _value(field: FieldDescriptor, known: Sequence[str], depth: int) -> st.SearchStrategy[Any] | None:
    """Returns values of a field, or entries of a repeated field; None if messages nest too deep."""
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        assert field.message_type is not None
        return messages(field.message_type, known, depth + 1) if depth < _DEEPEST else None
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type is not None
        numbers = [value.number for value in field.enum_type.values]
        return st.one_of(st.sampled_from(numbers), _integers(*_INTEGERS[kind]))
    if kind in _INTEGERS:
        return _integers(*_INTEGERS[kind])
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return st.binary(max_size=50) if field.type == FieldDescriptor.TYPE_BYTES else _texts(known)
    anything = st.floats(width=32) if kind == FieldDescriptor.CPPTYPE_FLOAT else st.floats()
    return st.one_of(st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0]), anything)


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.is_repeated:
        message.ClearField(field.name)
        getattr(message, field.name).extend(value)
    elif isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def messages(descriptor: Any, known: Sequence[str], depth: int = 0) -> st.SearchStrategy[Message]:
    """Returns messages of a Descriptor with random fields and values."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in descriptor.fields:
        if (values := _value(field, known, depth)) is None:
            continue
        fields[field.name] = st.lists(values, max_size=_MOST_ENTRIES) if field.is_repeated else values

    def build(values: Mapping[str, Any]) -> Message:
        message = GetMessageClass(descriptor)()
        for name, value in values.items():
            _set(message, descriptor.fields_by_name[name], value)
        return message

    return st.fixed_dictionaries({}, optional=fields).map(build)


@st.composite
def _changed(draw: st.DrawFn, good: Message, known: Sequence[str]) -> Message:
    """Draws a valid request with one to three changed fields, possibly nested."""
    message = type(good)()
    message.CopyFrom(good)
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, message, known, 0)
    return message


def _change(draw: st.DrawFn, message: Message, known: Sequence[str], depth: int) -> None:
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    field = draw(st.sampled_from(fields))
    if field.message_type is not None and draw(st.booleans()):
        within = getattr(message, field.name)
        parts = list(within) if field.is_repeated else [within] if message.HasField(field.name) else []
        if parts and depth < _DEEPEST:
            _change(draw, draw(st.sampled_from(parts)), known, depth + 1)
            return
    if (values := _value(field, known, depth)) is None:
        return
    _set(message, field, draw(st.lists(values, max_size=_MOST_ENTRIES) if field.is_repeated else values))


def _damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """Returns the bytes of a valid request, truncated or with some bytes changed."""
    cut = st.integers(0, max(0, len(good) - 1)).map(lambda length: good[:length])

    def put(change: tuple[int, bytes]) -> bytes:
        place, other = change
        return good[:place] + other + good[place + len(other) :]

    return st.one_of(cut, st.tuples(st.integers(0, len(good)), st.binary(min_size=1, max_size=8)).map(put))


_ASCII = st.characters(min_codepoint=32, max_codepoint=126)
_HEADERS_SENT = [""] * 16 + ["x-request-id", "traceparent", "x-anything", "authorization"]
_METADATA: st.SearchStrategy[tuple[tuple[str, str], ...]] = st.sampled_from(_HEADERS_SENT).flatmap(
    lambda name: st.tuples(st.tuples(st.just(name), st.text(_ASCII, max_size=80))) if name else st.just(())
)


def variants(one: Input, count: int) -> list[Input]:
    """Returns an input and `count` deterministic variants with changed bytes."""
    data = one.request if isinstance(one, Call) else one.data
    chance = random.Random(data)
    inputs = [one]
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randint(0, len(changed))
            end = place + chance.randint(0, 3)
            changed[place:end] = chance.randbytes(chance.randint(0, 3))
        other = bytes(changed)
        inputs.append(replace(one, request=other) if isinstance(one, Call) else Raw(other))
    return inputs


def calls(
    method: MethodDescriptor, good: Message, known: Sequence[str], token: str
) -> st.SearchStrategy[Input]:
    """Returns RPCs of one method. Most carry the token, so that they reach the handler."""
    name = f"/{method.containing_service.full_name}/{method.name}"
    encoded = good.SerializeToString()

    def call(request: Message | bytes, metadata: tuple[tuple[str, str], ...]) -> Input:
        data = request.SerializeToString() if isinstance(request, Message) else request
        if not any(key == "authorization" for key, _ in metadata):
            metadata = (*metadata, ("authorization", f"Bearer {token}"))
        return Call(name, method.server_streaming, data, metadata)

    requests: st.SearchStrategy[Message | bytes] = st.one_of(
        messages(method.input_type, known),
        _changed(good, known),
        _changed(good, known),
        _damaged(encoded),
        st.binary(max_size=100),
    )
    return st.builds(call, requests, _METADATA)


# HTTP/2 by hand, for input that no client library sends.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HTTP_1 = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # start of a handshake
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _headers(method: str) -> bytes:
    """Returns the headers of an RPC, as literals without indexing."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "fuzz",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


def _rpc_frames(method: str, body: bytes, end: bool) -> bytes:
    head = _PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, _headers(method))
    return head + _frame(_DATA, _END_STREAM if end else 0, 1, body)


def raws(methods: Sequence[str]) -> st.SearchStrategy[Input]:
    """Returns connections without HTTP/2, with invalid HTTP/2, or with invalid gRPC."""
    frames = st.builds(
        _frame, st.integers(0, 12), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=40)
    )
    # A message prefix (compression flag, length), followed by data of another length.
    heads = st.builds(
        lambda flag, length, data: bytes([flag]) + struct.pack(">I", length) + data,
        st.integers(0, 255),
        st.one_of(st.integers(0, 20), st.just(2**32 - 1)),
        st.binary(max_size=20),
    )
    bodies = st.one_of(heads, st.binary(max_size=20))
    return st.one_of(
        st.binary(max_size=200),
        st.lists(frames, max_size=6).map(lambda parts: _PREFACE + b"".join(parts)),
        st.builds(_rpc_frames, st.sampled_from(methods), bodies, st.booleans()),
        st.sampled_from([_HTTP_1, _TLS]),
    ).map(Raw)

"""Scalar fields of messages, set so that a value which cannot be sent is told with what can."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from cgn_client.errors import bad_value

_RANGES = {
    FieldDescriptor.TYPE_INT32: "-2^31 to 2^31 - 1",
    FieldDescriptor.TYPE_UINT32: "0 to 2^32 - 1",
    FieldDescriptor.TYPE_UINT64: "0 to 2^64 - 1",
}
_TYPES = {
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_DOUBLE: "a number",
    FieldDescriptor.TYPE_STRING: "text",
}


def put(message: Any, name: str, value: Any, field: str = "") -> None:
    """Sets a scalar field; None leaves it out. field: what the error calls it, if not by its name.

    Of a number that can be sent the server says whether it is allowed, so no range is kept twice. Raises
    CgnError.
    """
    if value is None:
        return
    try:
        setattr(message, name, value)
    except (TypeError, ValueError):
        kind = message.DESCRIPTOR.fields_by_name[name].type
        allowed = _TYPES.get(kind) or f"an integer, {_RANGES[kind]}"
        raise bad_value(field or name, f"must be {allowed}, is {value!r:.80}") from None

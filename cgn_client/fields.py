"""Sets scalar fields of messages. An error names the values that the field can hold."""

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor

from cgn_client.errors import bad_value

M = TypeVar("M")

_TYPES = {
    FieldDescriptor.TYPE_INT32: "an integer, -2^31 to 2^31 - 1",
    FieldDescriptor.TYPE_UINT32: "an integer of 0 or more, below 2^32",
    FieldDescriptor.TYPE_UINT64: "an integer, 0 to 2^64 - 1",
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_DOUBLE: "a number",
    FieldDescriptor.TYPE_STRING: "text",
}


def put(message: Any, name: str, value: Any, field: str = "") -> None:
    """Sets a scalar field; None leaves it unset. Raises CgnError for a value of the wrong type.

    field: the field's name in the error; empty: `name`. Ranges are checked by the server alone.
    """
    if value is None:
        return
    try:
        setattr(message, name, value)
    except (TypeError, ValueError):
        kind = message.DESCRIPTOR.fields_by_name[name].type
        raise bad_value(field or name, f"must be {_TYPES[kind]}, is {value!r:.80}") from None


def set_fields(message: M, **values: Any) -> M:
    """Sets scalar fields of a message and returns the message. Raises CgnError."""
    for name, value in values.items():
        put(message, name, value)
    return message

import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Output(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_UNSPECIFIED: _ClassVar[Output]
    OUTPUT_COMPOSITE: _ClassVar[Output]
    OUTPUT_MASK: _ClassVar[Output]
    OUTPUT_FOREGROUND: _ClassVar[Output]
    OUTPUT_BACKGROUND: _ClassVar[Output]
    OUTPUT_PRE_MASK: _ClassVar[Output]

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_PNG: _ClassVar[Encoding]
    ENCODING_JPEG: _ClassVar[Encoding]
    ENCODING_WEBP: _ClassVar[Encoding]
    ENCODING_RAW_UINT8: _ClassVar[Encoding]
    ENCODING_RAW_FLOAT32: _ClassVar[Encoding]
OUTPUT_UNSPECIFIED: Output
OUTPUT_COMPOSITE: Output
OUTPUT_MASK: Output
OUTPUT_FOREGROUND: Output
OUTPUT_BACKGROUND: Output
OUTPUT_PRE_MASK: Output
ENCODING_UNSPECIFIED: Encoding
ENCODING_PNG: Encoding
ENCODING_JPEG: Encoding
ENCODING_WEBP: Encoding
ENCODING_RAW_UINT8: Encoding
ENCODING_RAW_FLOAT32: Encoding

class Factor(_message.Message):
    __slots__ = ("label_index", "label_name", "seed")
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    label_index: int
    label_name: str
    seed: int
    def __init__(self, label_index: _Optional[int] = ..., label_name: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class Composite(_message.Message):
    __slots__ = ("shape", "texture", "background")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    shape: Factor
    texture: Factor
    background: Factor
    def __init__(self, shape: _Optional[_Union[Factor, _Mapping]] = ..., texture: _Optional[_Union[Factor, _Mapping]] = ..., background: _Optional[_Union[Factor, _Mapping]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("model", "version", "composites", "outputs", "encoding")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPOSITES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    composites: _containers.RepeatedCompositeFieldContainer[Composite]
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    encoding: Encoding
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., composites: _Optional[_Iterable[_Union[Composite, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., encoding: _Optional[_Union[Encoding, str]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("output", "data", "height", "width", "channels")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    output: Output
    data: bytes
    height: int
    width: int
    channels: int
    def __init__(self, output: _Optional[_Union[Output, str]] = ..., data: _Optional[bytes] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., channels: _Optional[int] = ...) -> None: ...

class ResolvedFactor(_message.Message):
    __slots__ = ("label_index", "label_name", "seed", "cache_hit")
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    label_index: int
    label_name: str
    seed: int
    cache_hit: bool
    def __init__(self, label_index: _Optional[int] = ..., label_name: _Optional[str] = ..., seed: _Optional[int] = ..., cache_hit: _Optional[bool] = ...) -> None: ...

class CompositeResult(_message.Message):
    __slots__ = ("shape", "texture", "background", "mu_mask", "images")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    MU_MASK_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    shape: ResolvedFactor
    texture: ResolvedFactor
    background: ResolvedFactor
    mu_mask: float
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, shape: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., texture: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., background: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., mu_mask: _Optional[float] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("model", "version", "digest", "encoding", "results")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    encoding: Encoding
    results: _containers.RepeatedCompositeFieldContainer[CompositeResult]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., results: _Optional[_Iterable[_Union[CompositeResult, _Mapping]]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class MaskBounds(_message.Message):
    __slots__ = ("lowest", "highest")
    LOWEST_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    lowest: float
    highest: float
    def __init__(self, lowest: _Optional[float] = ..., highest: _Optional[float] = ...) -> None: ...

class MechanismInfo(_message.Message):
    __slots__ = ("name", "resident_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    resident_bytes: int
    def __init__(self, name: _Optional[str] = ..., resident_bytes: _Optional[int] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "digest", "family", "classes", "class_names", "resolution", "latent_size", "outputs", "device", "mechanisms", "mask_bounds", "card_json", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    LATENT_SIZE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MECHANISMS_FIELD_NUMBER: _ClassVar[int]
    MASK_BOUNDS_FIELD_NUMBER: _ClassVar[int]
    CARD_JSON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    family: str
    classes: int
    class_names: _containers.RepeatedScalarFieldContainer[str]
    resolution: int
    latent_size: int
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    device: str
    mechanisms: _containers.RepeatedCompositeFieldContainer[MechanismInfo]
    mask_bounds: _containers.RepeatedCompositeFieldContainer[MaskBounds]
    card_json: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., family: _Optional[str] = ..., classes: _Optional[int] = ..., class_names: _Optional[_Iterable[str]] = ..., resolution: _Optional[int] = ..., latent_size: _Optional[int] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., device: _Optional[str] = ..., mechanisms: _Optional[_Iterable[_Union[MechanismInfo, _Mapping]]] = ..., mask_bounds: _Optional[_Iterable[_Union[MaskBounds, _Mapping]]] = ..., card_json: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

import datetime

from google.protobuf import empty_pb2 as _empty_pb2
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
    OUTPUT_REFERENCE: _ClassVar[Output]

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_PNG: _ClassVar[Encoding]
    ENCODING_JPEG: _ClassVar[Encoding]
    ENCODING_WEBP: _ClassVar[Encoding]
    ENCODING_RAW_UINT8: _ClassVar[Encoding]
    ENCODING_RAW_FLOAT32: _ClassVar[Encoding]

class Path(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_UNSPECIFIED: _ClassVar[Path]
    PATH_LINEAR: _ClassVar[Path]
    PATH_SPHERICAL: _ClassVar[Path]

class Animation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANIMATION_UNSPECIFIED: _ClassVar[Animation]
    ANIMATION_GIF: _ClassVar[Animation]
    ANIMATION_WEBP: _ClassVar[Animation]
    ANIMATION_MP4: _ClassVar[Animation]

class Vary(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VARY_UNSPECIFIED: _ClassVar[Vary]
    VARY_TEXTURE_AND_BACKGROUND: _ClassVar[Vary]
    VARY_TEXTURE: _ClassVar[Vary]
    VARY_BACKGROUND: _ClassVar[Vary]
    VARY_NONE: _ClassVar[Vary]

class LabelPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_POLICY_UNSPECIFIED: _ClassVar[LabelPolicy]
    LABEL_POLICY_UNIFORM: _ClassVar[LabelPolicy]
    LABEL_POLICY_PERMUTED: _ClassVar[LabelPolicy]
    LABEL_POLICY_AGREEMENT: _ClassVar[LabelPolicy]

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_STORED: _ClassVar[ModelState]
    MODEL_STATE_RESIDENT: _ClassVar[ModelState]
    MODEL_STATE_UNLOADED: _ClassVar[ModelState]
OUTPUT_UNSPECIFIED: Output
OUTPUT_COMPOSITE: Output
OUTPUT_MASK: Output
OUTPUT_FOREGROUND: Output
OUTPUT_BACKGROUND: Output
OUTPUT_PRE_MASK: Output
OUTPUT_REFERENCE: Output
ENCODING_UNSPECIFIED: Encoding
ENCODING_PNG: Encoding
ENCODING_JPEG: Encoding
ENCODING_WEBP: Encoding
ENCODING_RAW_UINT8: Encoding
ENCODING_RAW_FLOAT32: Encoding
PATH_UNSPECIFIED: Path
PATH_LINEAR: Path
PATH_SPHERICAL: Path
ANIMATION_UNSPECIFIED: Animation
ANIMATION_GIF: Animation
ANIMATION_WEBP: Animation
ANIMATION_MP4: Animation
VARY_UNSPECIFIED: Vary
VARY_TEXTURE_AND_BACKGROUND: Vary
VARY_TEXTURE: Vary
VARY_BACKGROUND: Vary
VARY_NONE: Vary
LABEL_POLICY_UNSPECIFIED: LabelPolicy
LABEL_POLICY_UNIFORM: LabelPolicy
LABEL_POLICY_PERMUTED: LabelPolicy
LABEL_POLICY_AGREEMENT: LabelPolicy
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_STORED: ModelState
MODEL_STATE_RESIDENT: ModelState
MODEL_STATE_UNLOADED: ModelState

class Factor(_message.Message):
    __slots__ = ("label_index", "label_name", "wordnet_id", "mixture", "seed", "way", "truncation")
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_NAME_FIELD_NUMBER: _ClassVar[int]
    WORDNET_ID_FIELD_NUMBER: _ClassVar[int]
    MIXTURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    label_index: int
    label_name: str
    wordnet_id: str
    mixture: Mixture
    seed: int
    way: Way
    truncation: float
    def __init__(self, label_index: _Optional[int] = ..., label_name: _Optional[str] = ..., wordnet_id: _Optional[str] = ..., mixture: _Optional[_Union[Mixture, _Mapping]] = ..., seed: _Optional[int] = ..., way: _Optional[_Union[Way, _Mapping]] = ..., truncation: _Optional[float] = ...) -> None: ...

class Mixture(_message.Message):
    __slots__ = ("classes",)
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    classes: _containers.RepeatedCompositeFieldContainer[WeightedClass]
    def __init__(self, classes: _Optional[_Iterable[_Union[WeightedClass, _Mapping]]] = ...) -> None: ...

class WeightedClass(_message.Message):
    __slots__ = ("label_index", "label_name", "wordnet_id", "weight")
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_NAME_FIELD_NUMBER: _ClassVar[int]
    WORDNET_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    label_index: int
    label_name: str
    wordnet_id: str
    weight: float
    def __init__(self, label_index: _Optional[int] = ..., label_name: _Optional[str] = ..., wordnet_id: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class Way(_message.Message):
    __slots__ = ("to_seed", "share", "path")
    TO_SEED_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    to_seed: int
    share: float
    path: Path
    def __init__(self, to_seed: _Optional[int] = ..., share: _Optional[float] = ..., path: _Optional[_Union[Path, str]] = ...) -> None: ...

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
    __slots__ = ("model", "version", "composites", "outputs", "encoding", "hard_mask")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPOSITES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    HARD_MASK_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    composites: _containers.RepeatedCompositeFieldContainer[Composite]
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    encoding: Encoding
    hard_mask: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., composites: _Optional[_Iterable[_Union[Composite, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., hard_mask: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ("label_index", "label_name", "seed", "cache_hit", "mixture", "way", "truncation")
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    MIXTURE_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    label_index: int
    label_name: str
    seed: int
    cache_hit: bool
    mixture: _containers.RepeatedCompositeFieldContainer[WeightedClass]
    way: Way
    truncation: float
    def __init__(self, label_index: _Optional[int] = ..., label_name: _Optional[str] = ..., seed: _Optional[int] = ..., cache_hit: _Optional[bool] = ..., mixture: _Optional[_Iterable[_Union[WeightedClass, _Mapping]]] = ..., way: _Optional[_Union[Way, _Mapping]] = ..., truncation: _Optional[float] = ...) -> None: ...

class CompositeResult(_message.Message):
    __slots__ = ("shape", "texture", "background", "mu_mask", "reference", "images")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    MU_MASK_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    shape: ResolvedFactor
    texture: ResolvedFactor
    background: ResolvedFactor
    mu_mask: float
    reference: ResolvedFactor
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, shape: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., texture: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., background: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., mu_mask: _Optional[float] = ..., reference: _Optional[_Union[ResolvedFactor, _Mapping]] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

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

class InterpolateRequest(_message.Message):
    __slots__ = ("model", "version", "start", "end", "midpoints", "path", "outputs", "encoding", "hard_mask", "animation", "frames_per_second")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    MIDPOINTS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    HARD_MASK_FIELD_NUMBER: _ClassVar[int]
    ANIMATION_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    start: Composite
    end: Composite
    midpoints: int
    path: Path
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    encoding: Encoding
    hard_mask: bool
    animation: Animation
    frames_per_second: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., start: _Optional[_Union[Composite, _Mapping]] = ..., end: _Optional[_Union[Composite, _Mapping]] = ..., midpoints: _Optional[int] = ..., path: _Optional[_Union[Path, str]] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., hard_mask: _Optional[bool] = ..., animation: _Optional[_Union[Animation, str]] = ..., frames_per_second: _Optional[int] = ...) -> None: ...

class InterpolateResponse(_message.Message):
    __slots__ = ("frame", "animation")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    ANIMATION_FIELD_NUMBER: _ClassVar[int]
    frame: Frame
    animation: bytes
    def __init__(self, frame: _Optional[_Union[Frame, _Mapping]] = ..., animation: _Optional[bytes] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("index", "share", "response")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    index: int
    share: float
    response: GenerateResponse
    def __init__(self, index: _Optional[int] = ..., share: _Optional[float] = ..., response: _Optional[_Union[GenerateResponse, _Mapping]] = ...) -> None: ...

class GenerateProductRequest(_message.Message):
    __slots__ = ("model", "version", "shapes", "textures", "backgrounds", "outputs", "encoding", "hard_mask", "start")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    TEXTURES_FIELD_NUMBER: _ClassVar[int]
    BACKGROUNDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    HARD_MASK_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    shapes: _containers.RepeatedCompositeFieldContainer[Factor]
    textures: _containers.RepeatedCompositeFieldContainer[Factor]
    backgrounds: _containers.RepeatedCompositeFieldContainer[Factor]
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    encoding: Encoding
    hard_mask: bool
    start: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., shapes: _Optional[_Iterable[_Union[Factor, _Mapping]]] = ..., textures: _Optional[_Iterable[_Union[Factor, _Mapping]]] = ..., backgrounds: _Optional[_Iterable[_Union[Factor, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., hard_mask: _Optional[bool] = ..., start: _Optional[int] = ...) -> None: ...

class GenerateProductResponse(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: ProductHeader
    chunk: ProductChunk
    def __init__(self, header: _Optional[_Union[ProductHeader, _Mapping]] = ..., chunk: _Optional[_Union[ProductChunk, _Mapping]] = ...) -> None: ...

class ProductHeader(_message.Message):
    __slots__ = ("model", "version", "digest", "encoding", "combinations", "shapes", "textures", "backgrounds")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    COMBINATIONS_FIELD_NUMBER: _ClassVar[int]
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    TEXTURES_FIELD_NUMBER: _ClassVar[int]
    BACKGROUNDS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    encoding: Encoding
    combinations: int
    shapes: _containers.RepeatedCompositeFieldContainer[Factor]
    textures: _containers.RepeatedCompositeFieldContainer[Factor]
    backgrounds: _containers.RepeatedCompositeFieldContainer[Factor]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., combinations: _Optional[int] = ..., shapes: _Optional[_Iterable[_Union[Factor, _Mapping]]] = ..., textures: _Optional[_Iterable[_Union[Factor, _Mapping]]] = ..., backgrounds: _Optional[_Iterable[_Union[Factor, _Mapping]]] = ...) -> None: ...

class ProductChunk(_message.Message):
    __slots__ = ("start", "count", "mu_mask", "images")
    START_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MU_MASK_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    start: int
    count: int
    mu_mask: _containers.RepeatedScalarFieldContainer[float]
    images: _containers.RepeatedCompositeFieldContainer[ImageBatch]
    def __init__(self, start: _Optional[int] = ..., count: _Optional[int] = ..., mu_mask: _Optional[_Iterable[float]] = ..., images: _Optional[_Iterable[_Union[ImageBatch, _Mapping]]] = ...) -> None: ...

class ImageBatch(_message.Message):
    __slots__ = ("output", "data", "files", "height", "width", "channels")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    output: Output
    data: bytes
    files: _containers.RepeatedScalarFieldContainer[bytes]
    height: int
    width: int
    channels: int
    def __init__(self, output: _Optional[_Union[Output, str]] = ..., data: _Optional[bytes] = ..., files: _Optional[_Iterable[bytes]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., channels: _Optional[int] = ...) -> None: ...

class SamplePolicy(_message.Message):
    __slots__ = ("vary", "labels", "agreement", "cf_ratio", "bank_masks", "bank_textures", "bank_backgrounds", "jitter", "truncation")
    VARY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    CF_RATIO_FIELD_NUMBER: _ClassVar[int]
    BANK_MASKS_FIELD_NUMBER: _ClassVar[int]
    BANK_TEXTURES_FIELD_NUMBER: _ClassVar[int]
    BANK_BACKGROUNDS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    vary: Vary
    labels: LabelPolicy
    agreement: float
    cf_ratio: int
    bank_masks: int
    bank_textures: int
    bank_backgrounds: int
    jitter: bool
    truncation: float
    def __init__(self, vary: _Optional[_Union[Vary, str]] = ..., labels: _Optional[_Union[LabelPolicy, str]] = ..., agreement: _Optional[float] = ..., cf_ratio: _Optional[int] = ..., bank_masks: _Optional[int] = ..., bank_textures: _Optional[int] = ..., bank_backgrounds: _Optional[int] = ..., jitter: _Optional[bool] = ..., truncation: _Optional[float] = ...) -> None: ...

class SampleRequest(_message.Message):
    __slots__ = ("model", "version", "digest", "policy", "seed", "start", "stop", "batch", "stride", "outputs", "hard_mask")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    HARD_MASK_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    policy: SamplePolicy
    seed: int
    start: int
    stop: int
    batch: int
    stride: int
    outputs: _containers.RepeatedScalarFieldContainer[Output]
    hard_mask: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., policy: _Optional[_Union[SamplePolicy, _Mapping]] = ..., seed: _Optional[int] = ..., start: _Optional[int] = ..., stop: _Optional[int] = ..., batch: _Optional[int] = ..., stride: _Optional[int] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., hard_mask: _Optional[bool] = ...) -> None: ...

class SampleResponse(_message.Message):
    __slots__ = ("header", "batch")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    header: SampleHeader
    batch: SampleBatch
    def __init__(self, header: _Optional[_Union[SampleHeader, _Mapping]] = ..., batch: _Optional[_Union[SampleBatch, _Mapping]] = ...) -> None: ...

class SampleHeader(_message.Message):
    __slots__ = ("model", "version", "digest", "seed", "batch")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    seed: int
    batch: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., seed: _Optional[int] = ..., batch: _Optional[int] = ...) -> None: ...

class SampleBatch(_message.Message):
    __slots__ = ("start", "shape_labels", "texture_labels", "background_labels", "shape_seeds", "texture_seeds", "background_seeds", "images")
    START_FIELD_NUMBER: _ClassVar[int]
    SHAPE_LABELS_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_LABELS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_LABELS_FIELD_NUMBER: _ClassVar[int]
    SHAPE_SEEDS_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_SEEDS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_SEEDS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    start: int
    shape_labels: _containers.RepeatedScalarFieldContainer[int]
    texture_labels: _containers.RepeatedScalarFieldContainer[int]
    background_labels: _containers.RepeatedScalarFieldContainer[int]
    shape_seeds: _containers.RepeatedScalarFieldContainer[int]
    texture_seeds: _containers.RepeatedScalarFieldContainer[int]
    background_seeds: _containers.RepeatedScalarFieldContainer[int]
    images: _containers.RepeatedCompositeFieldContainer[ImageBatch]
    def __init__(self, start: _Optional[int] = ..., shape_labels: _Optional[_Iterable[int]] = ..., texture_labels: _Optional[_Iterable[int]] = ..., background_labels: _Optional[_Iterable[int]] = ..., shape_seeds: _Optional[_Iterable[int]] = ..., texture_seeds: _Optional[_Iterable[int]] = ..., background_seeds: _Optional[_Iterable[int]] = ..., images: _Optional[_Iterable[_Union[ImageBatch, _Mapping]]] = ...) -> None: ...

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

class LoadModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class DeleteModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("model", "alias", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    version: str
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("name", "version", "digest", "family", "classes", "class_names", "resolution", "latent_size", "outputs", "device", "mechanisms", "mask_bounds", "card_json", "create_time", "class_ids", "has_truncation", "state", "aliases", "budget_bytes")
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
    CLASS_IDS_FIELD_NUMBER: _ClassVar[int]
    HAS_TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
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
    class_ids: _containers.RepeatedScalarFieldContainer[str]
    has_truncation: bool
    state: ModelState
    aliases: _containers.RepeatedScalarFieldContainer[str]
    budget_bytes: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., family: _Optional[str] = ..., classes: _Optional[int] = ..., class_names: _Optional[_Iterable[str]] = ..., resolution: _Optional[int] = ..., latent_size: _Optional[int] = ..., outputs: _Optional[_Iterable[_Union[Output, str]]] = ..., device: _Optional[str] = ..., mechanisms: _Optional[_Iterable[_Union[MechanismInfo, _Mapping]]] = ..., mask_bounds: _Optional[_Iterable[_Union[MaskBounds, _Mapping]]] = ..., card_json: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., class_ids: _Optional[_Iterable[str]] = ..., has_truncation: _Optional[bool] = ..., state: _Optional[_Union[ModelState, str]] = ..., aliases: _Optional[_Iterable[str]] = ..., budget_bytes: _Optional[int] = ...) -> None: ...

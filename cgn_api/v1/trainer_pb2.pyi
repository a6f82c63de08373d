import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_PENDING: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_CANCELLING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_STATE_CHANGE: _ClassVar[EventKind]
    EVENT_KIND_PROGRESS: _ClassVar[EventKind]
    EVENT_KIND_ARTEFACT: _ClassVar[EventKind]
    EVENT_KIND_LOG_LINE: _ClassVar[EventKind]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_PENDING: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_CANCELLING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_STATE_CHANGE: EventKind
EVENT_KIND_PROGRESS: EventKind
EVENT_KIND_ARTEFACT: EventKind
EVENT_KIND_LOG_LINE: EventKind

class TrainCgnSpec(_message.Message):
    __slots__ = ("model_name", "dataset", "folder", "resolution", "steps", "batch_size", "seed", "lr_generator", "lr_discriminator", "weight_binary", "weight_mask", "mask_lowest", "mask_highest", "weight_style", "style", "vgg16_weights", "train_images", "checkpoint_every", "sample_every", "restarts", "publish_collapsed")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LR_GENERATOR_FIELD_NUMBER: _ClassVar[int]
    LR_DISCRIMINATOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_BINARY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_MASK_FIELD_NUMBER: _ClassVar[int]
    MASK_LOWEST_FIELD_NUMBER: _ClassVar[int]
    MASK_HIGHEST_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_STYLE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    VGG16_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_IMAGES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_EVERY_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_COLLAPSED_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    dataset: str
    folder: str
    resolution: int
    steps: int
    batch_size: int
    seed: int
    lr_generator: float
    lr_discriminator: float
    weight_binary: float
    weight_mask: float
    mask_lowest: float
    mask_highest: float
    weight_style: float
    style: str
    vgg16_weights: str
    train_images: int
    checkpoint_every: int
    sample_every: int
    restarts: int
    publish_collapsed: bool
    def __init__(self, model_name: _Optional[str] = ..., dataset: _Optional[str] = ..., folder: _Optional[str] = ..., resolution: _Optional[int] = ..., steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., seed: _Optional[int] = ..., lr_generator: _Optional[float] = ..., lr_discriminator: _Optional[float] = ..., weight_binary: _Optional[float] = ..., weight_mask: _Optional[float] = ..., mask_lowest: _Optional[float] = ..., mask_highest: _Optional[float] = ..., weight_style: _Optional[float] = ..., style: _Optional[str] = ..., vgg16_weights: _Optional[str] = ..., train_images: _Optional[int] = ..., checkpoint_every: _Optional[int] = ..., sample_every: _Optional[int] = ..., restarts: _Optional[int] = ..., publish_collapsed: _Optional[bool] = ...) -> None: ...

class TrainImagenetSpec(_message.Message):
    __slots__ = ("model_name", "start_model", "start_version", "preset", "seed", "steps", "accumulation", "batch_size", "lr_shape", "lr_texture", "lr_background", "weight_l1", "weight_perceptual", "weight_binary", "weight_mask", "weight_text", "weight_background", "mask_lowest", "mask_highest", "features", "vgg16_weights", "without", "supervision", "weight_adversarial", "lr_discriminator", "texture_target", "patches_of", "patch_size", "patch_by_object", "refine", "classifier", "score_images", "sample_every", "checkpoint_every", "processes")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    START_MODEL_FIELD_NUMBER: _ClassVar[int]
    START_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ACCUMULATION_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LR_SHAPE_FIELD_NUMBER: _ClassVar[int]
    LR_TEXTURE_FIELD_NUMBER: _ClassVar[int]
    LR_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_L1_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PERCEPTUAL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_BINARY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_MASK_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_TEXT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    MASK_LOWEST_FIELD_NUMBER: _ClassVar[int]
    MASK_HIGHEST_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    VGG16_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_FIELD_NUMBER: _ClassVar[int]
    SUPERVISION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_ADVERSARIAL_FIELD_NUMBER: _ClassVar[int]
    LR_DISCRIMINATOR_FIELD_NUMBER: _ClassVar[int]
    TEXTURE_TARGET_FIELD_NUMBER: _ClassVar[int]
    PATCHES_OF_FIELD_NUMBER: _ClassVar[int]
    PATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    PATCH_BY_OBJECT_FIELD_NUMBER: _ClassVar[int]
    REFINE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    SCORE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_EVERY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    start_model: str
    start_version: str
    preset: str
    seed: int
    steps: int
    accumulation: int
    batch_size: int
    lr_shape: float
    lr_texture: float
    lr_background: float
    weight_l1: float
    weight_perceptual: float
    weight_binary: float
    weight_mask: float
    weight_text: float
    weight_background: float
    mask_lowest: float
    mask_highest: float
    features: str
    vgg16_weights: str
    without: str
    supervision: str
    weight_adversarial: float
    lr_discriminator: float
    texture_target: str
    patches_of: str
    patch_size: int
    patch_by_object: bool
    refine: bool
    classifier: str
    score_images: int
    sample_every: int
    checkpoint_every: int
    processes: int
    def __init__(self, model_name: _Optional[str] = ..., start_model: _Optional[str] = ..., start_version: _Optional[str] = ..., preset: _Optional[str] = ..., seed: _Optional[int] = ..., steps: _Optional[int] = ..., accumulation: _Optional[int] = ..., batch_size: _Optional[int] = ..., lr_shape: _Optional[float] = ..., lr_texture: _Optional[float] = ..., lr_background: _Optional[float] = ..., weight_l1: _Optional[float] = ..., weight_perceptual: _Optional[float] = ..., weight_binary: _Optional[float] = ..., weight_mask: _Optional[float] = ..., weight_text: _Optional[float] = ..., weight_background: _Optional[float] = ..., mask_lowest: _Optional[float] = ..., mask_highest: _Optional[float] = ..., features: _Optional[str] = ..., vgg16_weights: _Optional[str] = ..., without: _Optional[str] = ..., supervision: _Optional[str] = ..., weight_adversarial: _Optional[float] = ..., lr_discriminator: _Optional[float] = ..., texture_target: _Optional[str] = ..., patches_of: _Optional[str] = ..., patch_size: _Optional[int] = ..., patch_by_object: _Optional[bool] = ..., refine: _Optional[bool] = ..., classifier: _Optional[str] = ..., score_images: _Optional[int] = ..., sample_every: _Optional[int] = ..., checkpoint_every: _Optional[int] = ..., processes: _Optional[int] = ...) -> None: ...

class TrainClassifierSpec(_message.Message):
    __slots__ = ("dataset", "folder", "resolution", "model_name", "model_version", "train_on", "images_seen", "counterfactuals", "bank_masks", "bank_textures", "bank_backgrounds", "cf_ratio", "vary", "labels", "jitter", "batch_size", "learning_rate", "seed")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ON_FIELD_NUMBER: _ClassVar[int]
    IMAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUALS_FIELD_NUMBER: _ClassVar[int]
    BANK_MASKS_FIELD_NUMBER: _ClassVar[int]
    BANK_TEXTURES_FIELD_NUMBER: _ClassVar[int]
    BANK_BACKGROUNDS_FIELD_NUMBER: _ClassVar[int]
    CF_RATIO_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    folder: str
    resolution: int
    model_name: str
    model_version: str
    train_on: str
    images_seen: int
    counterfactuals: int
    bank_masks: int
    bank_textures: int
    bank_backgrounds: int
    cf_ratio: int
    vary: str
    labels: str
    jitter: bool
    batch_size: int
    learning_rate: float
    seed: int
    def __init__(self, dataset: _Optional[str] = ..., folder: _Optional[str] = ..., resolution: _Optional[int] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., train_on: _Optional[str] = ..., images_seen: _Optional[int] = ..., counterfactuals: _Optional[int] = ..., bank_masks: _Optional[int] = ..., bank_textures: _Optional[int] = ..., bank_backgrounds: _Optional[int] = ..., cf_ratio: _Optional[int] = ..., vary: _Optional[str] = ..., labels: _Optional[str] = ..., jitter: _Optional[bool] = ..., batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class ReproduceCellSpec(_message.Message):
    __slots__ = ("variant", "method", "seed", "model_name", "model_version", "steps", "images_seen")
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    variant: str
    method: str
    seed: int
    model_name: str
    model_version: str
    steps: int
    images_seen: int
    def __init__(self, variant: _Optional[str] = ..., method: _Optional[str] = ..., seed: _Optional[int] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., steps: _Optional[int] = ..., images_seen: _Optional[int] = ...) -> None: ...

class TrainEnsembleSpec(_message.Message):
    __slots__ = ("dataset", "folder", "resolution", "model_name", "model_version", "train_on", "images_seen", "counterfactuals", "bank_masks", "bank_textures", "bank_backgrounds", "cf_ratio", "vary", "labels", "jitter", "batch_size", "learning_rate", "seed", "members")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ON_FIELD_NUMBER: _ClassVar[int]
    IMAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUALS_FIELD_NUMBER: _ClassVar[int]
    BANK_MASKS_FIELD_NUMBER: _ClassVar[int]
    BANK_TEXTURES_FIELD_NUMBER: _ClassVar[int]
    BANK_BACKGROUNDS_FIELD_NUMBER: _ClassVar[int]
    CF_RATIO_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    folder: str
    resolution: int
    model_name: str
    model_version: str
    train_on: str
    images_seen: int
    counterfactuals: int
    bank_masks: int
    bank_textures: int
    bank_backgrounds: int
    cf_ratio: int
    vary: str
    labels: str
    jitter: bool
    batch_size: int
    learning_rate: float
    seed: int
    members: int
    def __init__(self, dataset: _Optional[str] = ..., folder: _Optional[str] = ..., resolution: _Optional[int] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., train_on: _Optional[str] = ..., images_seen: _Optional[int] = ..., counterfactuals: _Optional[int] = ..., bank_masks: _Optional[int] = ..., bank_textures: _Optional[int] = ..., bank_backgrounds: _Optional[int] = ..., cf_ratio: _Optional[int] = ..., vary: _Optional[str] = ..., labels: _Optional[str] = ..., jitter: _Optional[bool] = ..., batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., seed: _Optional[int] = ..., members: _Optional[int] = ...) -> None: ...

class EvaluateClassifierSpec(_message.Message):
    __slots__ = ("classifier", "dataset", "folder", "resolution", "model_name", "model_version", "counterfactuals", "vary", "labels", "seed")
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    COUNTERFACTUALS_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    classifier: str
    dataset: str
    folder: str
    resolution: int
    model_name: str
    model_version: str
    counterfactuals: int
    vary: str
    labels: str
    seed: int
    def __init__(self, classifier: _Optional[str] = ..., dataset: _Optional[str] = ..., folder: _Optional[str] = ..., resolution: _Optional[int] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., counterfactuals: _Optional[int] = ..., vary: _Optional[str] = ..., labels: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class GenerateDatasetSpec(_message.Message):
    __slots__ = ("model_name", "model_version", "images", "format", "shard_images", "bank_masks", "bank_textures", "bank_backgrounds", "cf_ratio", "vary", "labels", "jitter", "seed")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SHARD_IMAGES_FIELD_NUMBER: _ClassVar[int]
    BANK_MASKS_FIELD_NUMBER: _ClassVar[int]
    BANK_TEXTURES_FIELD_NUMBER: _ClassVar[int]
    BANK_BACKGROUNDS_FIELD_NUMBER: _ClassVar[int]
    CF_RATIO_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    images: int
    format: str
    shard_images: int
    bank_masks: int
    bank_textures: int
    bank_backgrounds: int
    cf_ratio: int
    vary: str
    labels: str
    jitter: bool
    seed: int
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., images: _Optional[int] = ..., format: _Optional[str] = ..., shard_images: _Optional[int] = ..., bank_masks: _Optional[int] = ..., bank_textures: _Optional[int] = ..., bank_backgrounds: _Optional[int] = ..., cf_ratio: _Optional[int] = ..., vary: _Optional[str] = ..., labels: _Optional[str] = ..., jitter: _Optional[bool] = ..., seed: _Optional[int] = ...) -> None: ...

class ImportWeightsSpec(_message.Message):
    __slots__ = ("model_name", "weights", "file", "u2net", "dataset")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    U2NET_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    weights: str
    file: str
    u2net: str
    dataset: str
    def __init__(self, model_name: _Optional[str] = ..., weights: _Optional[str] = ..., file: _Optional[str] = ..., u2net: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class TrainBigganSpec(_message.Message):
    __slots__ = ("dataset", "folder", "resolution", "ch", "z_dim", "steps", "batch_size", "seed", "lr_generator", "lr_discriminator", "train_images", "checkpoint_every", "sample_every")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    CH_FIELD_NUMBER: _ClassVar[int]
    Z_DIM_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LR_GENERATOR_FIELD_NUMBER: _ClassVar[int]
    LR_DISCRIMINATOR_FIELD_NUMBER: _ClassVar[int]
    TRAIN_IMAGES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_EVERY_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    folder: str
    resolution: int
    ch: int
    z_dim: int
    steps: int
    batch_size: int
    seed: int
    lr_generator: float
    lr_discriminator: float
    train_images: int
    checkpoint_every: int
    sample_every: int
    def __init__(self, dataset: _Optional[str] = ..., folder: _Optional[str] = ..., resolution: _Optional[int] = ..., ch: _Optional[int] = ..., z_dim: _Optional[int] = ..., steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., seed: _Optional[int] = ..., lr_generator: _Optional[float] = ..., lr_discriminator: _Optional[float] = ..., train_images: _Optional[int] = ..., checkpoint_every: _Optional[int] = ..., sample_every: _Optional[int] = ...) -> None: ...

class TrainSaliencySpec(_message.Message):
    __slots__ = ("inner", "outer", "steps", "batch_size", "seed", "learning_rate", "checkpoint_every", "sample_every")
    INNER_FIELD_NUMBER: _ClassVar[int]
    OUTER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_EVERY_FIELD_NUMBER: _ClassVar[int]
    inner: int
    outer: int
    steps: int
    batch_size: int
    seed: int
    learning_rate: float
    checkpoint_every: int
    sample_every: int
    def __init__(self, inner: _Optional[int] = ..., outer: _Optional[int] = ..., steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., seed: _Optional[int] = ..., learning_rate: _Optional[float] = ..., checkpoint_every: _Optional[int] = ..., sample_every: _Optional[int] = ...) -> None: ...

class StartImagenetSpec(_message.Message):
    __slots__ = ("model_name", "biggan", "saliency")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    BIGGAN_FIELD_NUMBER: _ClassVar[int]
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    biggan: str
    saliency: str
    def __init__(self, model_name: _Optional[str] = ..., biggan: _Optional[str] = ..., saliency: _Optional[str] = ...) -> None: ...

class FindFailuresSpec(_message.Message):
    __slots__ = ("model_name", "model_version", "classes", "causes", "truncation", "seed", "shown")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SHOWN_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    classes: str
    causes: int
    truncation: float
    seed: int
    shown: int
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., classes: _Optional[str] = ..., causes: _Optional[int] = ..., truncation: _Optional[float] = ..., seed: _Optional[int] = ..., shown: _Optional[int] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("cpu_threads", "gpus")
    CPU_THREADS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    cpu_threads: int
    gpus: int
    def __init__(self, cpu_threads: _Optional[int] = ..., gpus: _Optional[int] = ...) -> None: ...

class MiniatureCellSpec(_message.Message):
    __slots__ = ("row", "seed", "steps", "images_seen")
    ROW_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    row: str
    seed: int
    steps: int
    images_seen: int
    def __init__(self, row: _Optional[str] = ..., seed: _Optional[int] = ..., steps: _Optional[int] = ..., images_seen: _Optional[int] = ...) -> None: ...

class ImagenetCellSpec(_message.Message):
    __slots__ = ("cell", "seed", "weights", "model_name", "model_version", "images", "causes")
    CELL_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    cell: str
    seed: int
    weights: str
    model_name: str
    model_version: str
    images: int
    causes: int
    def __init__(self, cell: _Optional[str] = ..., seed: _Optional[int] = ..., weights: _Optional[str] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., images: _Optional[int] = ..., causes: _Optional[int] = ...) -> None: ...

class JobSpec(_message.Message):
    __slots__ = ("train_cgn", "train_classifier", "reproduce_cell", "train_imagenet", "train_ensemble", "evaluate_classifier", "generate_dataset", "import_weights", "train_biggan", "train_saliency", "start_imagenet", "find_failures", "miniature_cell", "imagenet_cell", "resources", "priority", "time_limit_seconds", "keep_days", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TRAIN_CGN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    REPRODUCE_CELL_FIELD_NUMBER: _ClassVar[int]
    TRAIN_IMAGENET_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    GENERATE_DATASET_FIELD_NUMBER: _ClassVar[int]
    IMPORT_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_BIGGAN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SALIENCY_FIELD_NUMBER: _ClassVar[int]
    START_IMAGENET_FIELD_NUMBER: _ClassVar[int]
    FIND_FAILURES_FIELD_NUMBER: _ClassVar[int]
    MINIATURE_CELL_FIELD_NUMBER: _ClassVar[int]
    IMAGENET_CELL_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KEEP_DAYS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    train_cgn: TrainCgnSpec
    train_classifier: TrainClassifierSpec
    reproduce_cell: ReproduceCellSpec
    train_imagenet: TrainImagenetSpec
    train_ensemble: TrainEnsembleSpec
    evaluate_classifier: EvaluateClassifierSpec
    generate_dataset: GenerateDatasetSpec
    import_weights: ImportWeightsSpec
    train_biggan: TrainBigganSpec
    train_saliency: TrainSaliencySpec
    start_imagenet: StartImagenetSpec
    find_failures: FindFailuresSpec
    miniature_cell: MiniatureCellSpec
    imagenet_cell: ImagenetCellSpec
    resources: Resources
    priority: int
    time_limit_seconds: int
    keep_days: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, train_cgn: _Optional[_Union[TrainCgnSpec, _Mapping]] = ..., train_classifier: _Optional[_Union[TrainClassifierSpec, _Mapping]] = ..., reproduce_cell: _Optional[_Union[ReproduceCellSpec, _Mapping]] = ..., train_imagenet: _Optional[_Union[TrainImagenetSpec, _Mapping]] = ..., train_ensemble: _Optional[_Union[TrainEnsembleSpec, _Mapping]] = ..., evaluate_classifier: _Optional[_Union[EvaluateClassifierSpec, _Mapping]] = ..., generate_dataset: _Optional[_Union[GenerateDatasetSpec, _Mapping]] = ..., import_weights: _Optional[_Union[ImportWeightsSpec, _Mapping]] = ..., train_biggan: _Optional[_Union[TrainBigganSpec, _Mapping]] = ..., train_saliency: _Optional[_Union[TrainSaliencySpec, _Mapping]] = ..., start_imagenet: _Optional[_Union[StartImagenetSpec, _Mapping]] = ..., find_failures: _Optional[_Union[FindFailuresSpec, _Mapping]] = ..., miniature_cell: _Optional[_Union[MiniatureCellSpec, _Mapping]] = ..., imagenet_cell: _Optional[_Union[ImagenetCellSpec, _Mapping]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., priority: _Optional[int] = ..., time_limit_seconds: _Optional[int] = ..., keep_days: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("spec", "request_id", "validate_only", "job_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    spec: JobSpec
    request_id: str
    validate_only: bool
    job_id: str
    def __init__(self, spec: _Optional[_Union[JobSpec, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., job_id: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "kinds", "labels", "parent", "owner")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[JobState]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    parent: str
    owner: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[JobState, str]]] = ..., kinds: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., parent: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ResumeJobRequest(_message.Message):
    __slots__ = ("job_id", "request_id", "new_job_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    request_id: str
    new_job_id: str
    def __init__(self, job_id: _Optional[str] = ..., request_id: _Optional[str] = ..., new_job_id: _Optional[str] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("job_id", "request_id", "new_job_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    request_id: str
    new_job_id: str
    def __init__(self, job_id: _Optional[str] = ..., request_id: _Optional[str] = ..., new_job_id: _Optional[str] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id", "after_event_id", "kinds")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after_event_id: str
    kinds: _containers.RepeatedScalarFieldContainer[EventKind]
    def __init__(self, job_id: _Optional[str] = ..., after_event_id: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[EventKind, str]]] = ...) -> None: ...

class GetArtifactRequest(_message.Message):
    __slots__ = ("job_id", "path", "offset")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    path: str
    offset: int
    def __init__(self, job_id: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class GetArtifactResponse(_message.Message):
    __slots__ = ("artefact", "data")
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    artefact: Artefact
    data: bytes
    def __init__(self, artefact: _Optional[_Union[Artefact, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "spec", "state", "queue_position", "attempt", "worker", "message", "create_time", "start_time", "end_time", "progress", "artefacts", "model_name", "model_version", "parent", "from_checkpoint", "owner", "reason")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ARTEFACTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    FROM_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    spec: JobSpec
    state: JobState
    queue_position: int
    attempt: int
    worker: str
    message: str
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    progress: Progress
    artefacts: _containers.RepeatedCompositeFieldContainer[Artefact]
    model_name: str
    model_version: str
    parent: str
    from_checkpoint: bool
    owner: str
    reason: str
    def __init__(self, job_id: _Optional[str] = ..., spec: _Optional[_Union[JobSpec, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ..., queue_position: _Optional[int] = ..., attempt: _Optional[int] = ..., worker: _Optional[str] = ..., message: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., artefacts: _Optional[_Iterable[_Union[Artefact, _Mapping]]] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., parent: _Optional[str] = ..., from_checkpoint: _Optional[bool] = ..., owner: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("step", "total_steps", "step_seconds", "eta_seconds", "values", "mu_mask", "images_per_second")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MU_MASK_FIELD_NUMBER: _ClassVar[int]
    IMAGES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    step: int
    total_steps: int
    step_seconds: float
    eta_seconds: float
    values: _containers.ScalarMap[str, float]
    mu_mask: float
    images_per_second: float
    def __init__(self, step: _Optional[int] = ..., total_steps: _Optional[int] = ..., step_seconds: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., values: _Optional[_Mapping[str, float]] = ..., mu_mask: _Optional[float] = ..., images_per_second: _Optional[float] = ...) -> None: ...

class Artefact(_message.Message):
    __slots__ = ("kind", "path", "bytes", "digest")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    kind: str
    path: str
    bytes: int
    digest: str
    def __init__(self, kind: _Optional[str] = ..., path: _Optional[str] = ..., bytes: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("event_id", "time", "state_change", "progress", "artefact", "log_line", "gap")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    LOG_LINE_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    time: _timestamp_pb2.Timestamp
    state_change: StateChange
    progress: Progress
    artefact: Artefact
    log_line: str
    gap: EventGap
    def __init__(self, event_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state_change: _Optional[_Union[StateChange, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., artefact: _Optional[_Union[Artefact, _Mapping]] = ..., log_line: _Optional[str] = ..., gap: _Optional[_Union[EventGap, _Mapping]] = ...) -> None: ...

class EventGap(_message.Message):
    __slots__ = ("dropped",)
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    def __init__(self, dropped: _Optional[int] = ...) -> None: ...

class StateChange(_message.Message):
    __slots__ = ("state", "message")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    state: JobState
    message: str
    def __init__(self, state: _Optional[_Union[JobState, str]] = ..., message: _Optional[str] = ...) -> None: ...

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
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_PENDING: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_CANCELLING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState

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

class Resources(_message.Message):
    __slots__ = ("cpu_threads", "gpus")
    CPU_THREADS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    cpu_threads: int
    gpus: int
    def __init__(self, cpu_threads: _Optional[int] = ..., gpus: _Optional[int] = ...) -> None: ...

class JobSpec(_message.Message):
    __slots__ = ("train_cgn", "train_classifier", "reproduce_cell", "resources", "priority")
    TRAIN_CGN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    REPRODUCE_CELL_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    train_cgn: TrainCgnSpec
    train_classifier: TrainClassifierSpec
    reproduce_cell: ReproduceCellSpec
    resources: Resources
    priority: int
    def __init__(self, train_cgn: _Optional[_Union[TrainCgnSpec, _Mapping]] = ..., train_classifier: _Optional[_Union[TrainClassifierSpec, _Mapping]] = ..., reproduce_cell: _Optional[_Union[ReproduceCellSpec, _Mapping]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., priority: _Optional[int] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("spec", "request_id", "validate_only")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    spec: JobSpec
    request_id: str
    validate_only: bool
    def __init__(self, spec: _Optional[_Union[JobSpec, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[JobState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[JobState, str]]] = ...) -> None: ...

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

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id", "after_event_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after_event_id: str
    def __init__(self, job_id: _Optional[str] = ..., after_event_id: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "spec", "state", "queue_position", "attempt", "worker", "message", "create_time", "start_time", "end_time", "progress", "artefacts", "model_name", "model_version")
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
    def __init__(self, job_id: _Optional[str] = ..., spec: _Optional[_Union[JobSpec, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ..., queue_position: _Optional[int] = ..., attempt: _Optional[int] = ..., worker: _Optional[str] = ..., message: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., artefacts: _Optional[_Iterable[_Union[Artefact, _Mapping]]] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("step", "total_steps", "step_seconds", "eta_seconds", "values", "mu_mask")
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
    step: int
    total_steps: int
    step_seconds: float
    eta_seconds: float
    values: _containers.ScalarMap[str, float]
    mu_mask: float
    def __init__(self, step: _Optional[int] = ..., total_steps: _Optional[int] = ..., step_seconds: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., values: _Optional[_Mapping[str, float]] = ..., mu_mask: _Optional[float] = ...) -> None: ...

class Artefact(_message.Message):
    __slots__ = ("kind", "path", "bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    path: str
    bytes: int
    def __init__(self, kind: _Optional[str] = ..., path: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("event_id", "time", "state_change", "progress", "artefact", "log_line")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    LOG_LINE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    time: _timestamp_pb2.Timestamp
    state_change: StateChange
    progress: Progress
    artefact: Artefact
    log_line: str
    def __init__(self, event_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state_change: _Optional[_Union[StateChange, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., artefact: _Optional[_Union[Artefact, _Mapping]] = ..., log_line: _Optional[str] = ...) -> None: ...

class StateChange(_message.Message):
    __slots__ = ("state", "message")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    state: JobState
    message: str
    def __init__(self, state: _Optional[_Union[JobState, str]] = ..., message: _Optional[str] = ...) -> None: ...

"""Settings from the environment: defaults, values, and one-line errors that name the cure."""

import pytest

from common.settings import (
    REPO,
    GeneratorSettings,
    Paths,
    SettingsError,
    TrainerSettings,
    WorkerSettings,
)


def test_defaults_work_on_one_machine() -> None:
    generator, trainer = GeneratorSettings.from_env({}), TrainerSettings.from_env({})
    worker = WorkerSettings.from_env({})
    assert generator.paths == Paths(REPO / "models", REPO / "var" / "runs")
    ports = [generator.port, generator.metrics_port, trainer.port, trainer.metrics_port, worker.metrics_port]
    assert ports == [50051, 9101, 50052, 9102, 9103]
    assert generator.cache_url != trainer.jobs_url == worker.jobs_url
    assert generator.row_cache_bytes == 256 * 2**20 and generator.edge.host == "127.0.0.1"
    assert GeneratorSettings.from_env({"CGN_GENERATOR_PORT": "", "CGN_CACHE_URL": " "}) == generator


def test_values_are_read() -> None:
    env = {
        "CGN_CACHE_URL": "none",
        "CGN_ROW_CACHE_MB": "0",
        "CGN_DEVICE": "cuda:1",
        "CGN_GENERATOR_PORT": "1234",
    }
    settings = GeneratorSettings.from_env(env)
    assert (settings.cache_url, settings.row_cache_bytes) == (None, 0)
    assert (settings.device, settings.port) == ("cuda:1", 1234)


@pytest.mark.parametrize(
    ("settings", "name", "value", "cure"),
    [
        (GeneratorSettings, "CGN_GENERATOR_PORT", "http", "1 to 65535"),
        (GeneratorSettings, "CGN_GENERATOR_PORT", "0", "1 to 65535"),
        (GeneratorSettings, "CGN_ROW_CACHE_MB", "-1", "0 to"),
        (GeneratorSettings, "CGN_ROW_TTL_SECONDS", "0", "1 to"),
        (GeneratorSettings, "CGN_MEGAPIXELS_IN_FLIGHT", "0", "1 to"),
        (GeneratorSettings, "CGN_GRACE_SECONDS", "1", "2 to"),
        (GeneratorSettings, "CGN_DEVICE", "tpu", "auto, cpu"),
        (GeneratorSettings, "CGN_CACHE_URL", "127.0.0.1:6380", 'redis://host:port/db or "none"'),
        (GeneratorSettings, "CGN_MODELS_DIR", __file__, "must be a directory"),
        (TrainerSettings, "CGN_JOBS_URL", "none", "redis://host:port/db"),
        (TrainerSettings, "CGN_JOBS_URL", "http://localhost", "redis://"),
        (WorkerSettings, "CGN_WORKER_THREADS", "0", "1 to 256"),
        (WorkerSettings, "CGN_WORKER_GPUS", "nine", "0 to 8"),
    ],
)
def test_bad_values_name_the_variable_and_the_cure(settings, name, value, cure) -> None:
    with pytest.raises(SettingsError) as error:
        settings.from_env({name: value})
    message = str(error.value)
    assert message.startswith(f"{name}={value}: ") and cure in message and "\n" not in message

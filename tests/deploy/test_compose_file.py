"""docker-compose.yml as deploy/ reads it, and its guarantees."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose import COMPOSE_FILE, ComposeError, Port, read_stack
from deploy.localise import Localiser

REPO = Path(__file__).resolve().parents[2]
OURS = ("generator", "trainer", "worker")


def raw_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    return services


def test_the_default_profile_is_the_cpu_stack() -> None:
    names = [service.name for service in read_stack({}).services]
    assert sorted(names) == sorted(
        ["redis-jobs", "redis-cache", "generator", "trainer", "worker", "prometheus"]
    )
    # Everybody starts after those it needs.
    for service in read_stack({}).services:
        assert all(names.index(needed) < names.index(service.name) for needed in service.depends_on)


def test_variables_are_substituted() -> None:
    services = {s.name: s for s in read_stack({"CGN_GENERATOR_PORT": "7001", "CGN_THREADS": "3"}).services}
    assert services["generator"].ports[0] == Port(50051, 7001, "CGN_GENERATOR_PORT")
    assert services["generator"].environment["CGN_THREADS"] == "3"
    assert "CGN_ROW_CACHE_MB" not in services["generator"].environment
    assert services["redis-cache"].ports == (Port(6379, 6380, "CGN_REDIS_CACHE_PORT"),)


@pytest.mark.parametrize("port", ["seven", "0", "65536"])
def test_a_bad_port_names_its_variable(port: str) -> None:
    with pytest.raises(ComposeError, match=f"CGN_TRAINER_PORT={port}: must be a port, 1 to 65535"):
        read_stack({"CGN_TRAINER_PORT": port})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("${CGN_TRAINER_PORT:-50052}", "50052"), "port 127.0.0.1:50052:50052"),
        (('"127.0.0.1:${CGN_TRAINER_PORT', '"${CGN_TRAINER_PORT'), "2 to 3|3 to 3"),
        (("stop_grace_period: 40s", "stop_grace_period: forty"), '"forty": must be a number with'),
        (("${CGN_PROMETHEUS_RETENTION:-15d}", "$RETENTION"), "use \\${NAME}"),
        (("restart: unless-stopped", "restart: always"), "restart: always: must be unless-stopped or"),
        (("redis-jobs:\n        condition", "absent:\n        condition"), "depends_on: "),
    ],
)
def test_unsupported_features_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = COMPOSE_FILE.read_text()
    assert change[0] in text
    changed = tmp_path / "docker-compose.yml"
    changed.write_text(text.replace(*change))
    with pytest.raises(ComposeError, match=message):
        read_stack({}, changed)


def test_every_service_is_restarted() -> None:
    assert [service.name for service in read_stack({}).services if not service.restart] == []


def test_every_service_has_limits() -> None:
    for name, service in raw_services().items():
        assert all(port.startswith("127.0.0.1:${") for port in service["ports"]), name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert ":" in service["image"], name


def test_the_gpu_services_differ_only_in_the_device() -> None:
    services = raw_services()
    for name in ("generator", "worker"):
        cpu, gpu = services[name], services[f"{name}-gpu"]
        assert gpu["profiles"] == ["gpu"]
        assert gpu["networks"]["default"]["aliases"] == [name]
        assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
        different = {"profiles", "build", "image", "environment", "networks", "deploy"}
        assert {key: gpu[key] for key in gpu.keys() - different} == {
            key: cpu[key] for key in cpu.keys() - different
        }


@pytest.mark.parametrize("role", OURS)
def test_an_image_runs_what_the_compose_file_runs(role: str) -> None:
    dockerfile = (REPO / raw_services()[role]["build"]["dockerfile"]).read_text()
    words = ", ".join(f'"{word}"' for word in raw_services()[role]["command"])
    assert f"CMD [{words}]" in dockerfile
    assert "USER 10001" in dockerfile
    assert "HEALTHCHECK" in dockerfile
    for port in raw_services()[role]["ports"]:
        assert port.rpartition(":")[2] in dockerfile.partition("EXPOSE")[2].splitlines()[0].split()


def test_container_addresses_become_local(tmp_path: Path) -> None:
    local = Localiser(tmp_path, {})
    services = {service.name: service for service in local.stack.services}
    worker = local.environment(services["worker"])
    assert worker["CGN_HOST"] == "127.0.0.1"
    assert worker["CGN_JOBS_URL"] == f"redis://{local.address('redis-jobs')}/0"
    assert worker["CGN_RUNS_DIR"] == str(tmp_path / "runs")
    assert worker["CGN_WORKER_METRICS_PORT"] == local.address("worker").rpartition(":")[2]
    redis = local.command(services["redis-cache"], services["redis-cache"].command)
    assert Path(redis[0]).name == "redis-server"
    assert redis[redis.index("--port") + 1] == local.address("redis-cache").rpartition(":")[2]
    assert redis[redis.index("--dir") + 1] == str(tmp_path / "redis-cache")
    prometheus = local.command(services["prometheus"], services["prometheus"].command)
    config = Path(prometheus[1].removeprefix("--config.file=")).read_text()
    assert f'"{local.address("generator", 9101)}"' in config
    assert "generator:9101" not in config


def test_a_separate_stack_ignores_the_callers_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGN_JOBS_URL", "redis://elsewhere:1/0")
    monkeypatch.setenv("CGN_GENERATOR_PORT", "1")
    monkeypatch.setenv("CGN_THREADS", "1")
    local = Localiser(tmp_path, {"CGN_ROW_CACHE_MB": "0"})
    services = {service.name: service for service in local.stack.services}
    generator = local.environment(services["generator"])
    assert "elsewhere" not in local.environment(services["worker"])["CGN_JOBS_URL"]
    assert generator["CGN_GENERATOR_PORT"] != "1"
    assert (generator["CGN_THREADS"], generator["CGN_ROW_CACHE_MB"]) == ("1", "0")

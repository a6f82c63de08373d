"""Settings of TLS, callers and limits: valid combinations, and what each listening address requires."""

from pathlib import Path

import pytest

from common.settings import EdgeSettings, SettingsError

PEM = Path(__file__)  # any readable file; its content is checked when the server starts


def settings(**env: str) -> EdgeSettings:
    return EdgeSettings.from_env(env)


def test_local_addresses_need_no_protection() -> None:
    for host in ("", "127.0.0.1", "127.1.2.3", "::1", "localhost"):
        edge = settings(CGN_HOST=host)
        assert edge.missing == () and edge.tls_cert is None and not edge.insecure and not edge.traces
        assert (edge.max_images, edge.rpcs_per_second, edge.images_per_second) == (0, 0, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "cgn.example", "127.example"])
def test_other_addresses_need_tls_and_callers(host: str) -> None:
    tls = {"CGN_HOST": host, "CGN_TLS_CERT": str(PEM), "CGN_TLS_KEY": str(PEM)}
    tokens = {"CGN_HOST": host, "CGN_TOKENS_FILE": str(PEM)}
    for env, missing in (
        ({"CGN_HOST": host}, ("tls", "callers")),
        (tls, ("callers",)),
        (tokens, ("tls",)),
        (tls | tokens, ()),
        (tls | {"CGN_TLS_CLIENT_CA": str(PEM)}, ()),
    ):
        if missing:
            with pytest.raises(SettingsError, match=f"^CGN_HOST={host}: .* or CGN_INSECURE=1 ") as error:
                settings(**env)
            assert ("CGN_TLS_KEY" in str(error.value)) is ("tls" in missing)
            assert ("CGN_TOKENS_FILE" in str(error.value)) is ("callers" in missing)
        assert settings(**env, CGN_INSECURE="1").missing == missing


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"CGN_TLS_CERT": str(PEM)}, "CGN_TLS_CERT is set without CGN_TLS_KEY: set both, or neither"),
        ({"CGN_TLS_KEY": str(PEM)}, "CGN_TLS_KEY is set without CGN_TLS_CERT"),
        ({"CGN_TLS_CLIENT_CA": str(PEM)}, "CGN_TLS_CLIENT_CA is set without CGN_TLS_CERT"),
        ({"CGN_TLS_CERT": "/no/such", "CGN_TLS_KEY": str(PEM)}, "CGN_TLS_CERT=/no/such: No such file"),
        ({"CGN_TOKENS_FILE": "/tmp"}, "CGN_TOKENS_FILE=/tmp: Is a directory: name a file"),
        ({"CGN_INSECURE": "yes"}, "CGN_INSECURE=yes: must be 1 or 0"),
        ({"CGN_TRACES": "on"}, "CGN_TRACES=on: must be 1 or 0"),
        ({"CGN_RPCS_PER_SECOND": "-1"}, "CGN_RPCS_PER_SECOND=-1: must be an integer, 0 to"),
        ({"CGN_IMAGES_PER_SECOND": "many"}, "CGN_IMAGES_PER_SECOND=many: must be an integer"),
        ({"CGN_MAX_IMAGES": "1.5"}, "CGN_MAX_IMAGES=1.5: must be an integer"),
    ],
)
def test_invalid_combinations_are_refused(env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**env)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)

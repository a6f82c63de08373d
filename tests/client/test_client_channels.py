"""Channel options of a client, from arguments or the environment: valid and invalid combinations."""

from pathlib import Path
from typing import Any

import pytest

from cgn_client import CgnError, Tls
from cgn_client.channels import open_channel

PEM = "-----BEGIN CERTIFICATE-----\n"


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "file.pem"
    path.write_text(PEM)
    return str(path)


@pytest.mark.parametrize(
    ("passed", "env", "field", "cure"),
    [
        ({"token": "abc"}, {}, "token", "give tls (CGN_TLS_CA), or set CGN_INSECURE=1"),
        ({}, {"CGN_TOKEN": "abc"}, "CGN_TOKEN", "would be sent to cgn.example:1 unencrypted"),
        ({"token": "abc", "tls": False}, {"CGN_TLS": "1"}, "token", "give tls"),
        ({"token": "two words"}, {}, "token", "without spaces"),
        ({"token": "line\nbreak"}, {}, "token", "printable ASCII"),
        ({}, {"CGN_TOKEN": "ключ"}, "CGN_TOKEN", "printable ASCII"),
        ({}, {"CGN_TLS": "yes"}, "CGN_TLS", "must be 1 or 0"),
        ({"tls": Tls(ca="/no/such")}, {}, "tls.ca", "/no/such: No such file"),
        ({"tls": Tls(ca=__file__ + "x")}, {}, "tls.ca", "No such file"),
        ({"tls": Tls(ca=Path(__file__).parent / "__init__.py")}, {}, "tls.ca", "is not PEM"),
        ({"tls": Tls(cert="c.pem")}, {}, "tls.cert", "without tls.key; give both or neither"),
        ({"tls": Tls(key="k.pem")}, {}, "tls.key", "without tls.cert"),
        ({}, {"CGN_TLS_CLIENT_CERT": "c.pem"}, "tls.cert", "without tls.key"),
        ({}, {"CGN_TLS_CA": "/no/such"}, "tls.ca", "No such file"),
    ],
)
def test_conflicting_options_are_refused(
    passed: dict[str, Any], env: dict[str, str], field: str, cure: str
) -> None:
    with pytest.raises(CgnError) as error:
        open_channel("cgn.example:1", **passed, env=env)
    assert error.value.code == "INVALID_ARGUMENT"
    assert error.value.violations[0].field == field
    assert cure in error.value.message and "\n" not in error.value.message


def test_matching_options_are_accepted(pem: str) -> None:
    for address, passed, env in (
        ("127.0.0.1:1", {"token": "abc"}, {}),
        ("[::1]:1", {"token": "abc"}, {}),
        ("localhost:1", {}, {"CGN_TOKEN": "abc\n"}),
        ("unix:/tmp/x", {"token": "abc"}, {}),
        ("cgn.example:1", {}, {}),
        ("cgn.example:1", {"token": ""}, {"CGN_TOKEN": "abc"}),
        ("cgn.example:1", {"token": "abc"}, {"CGN_INSECURE": "1"}),
        ("cgn.example:1", {"token": "abc", "tls": True}, {}),
        ("cgn.example:1", {"token": "abc"}, {"CGN_TLS": "1"}),
        ("cgn.example:1", {"token": "abc"}, {"CGN_TLS_CA": pem}),
        ("cgn.example:1", {}, {"CGN_TLS_CA": "/no/such", "CGN_TLS": "0"}),
    ):
        open_channel(address, **passed, env=env).close()


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:50051", 50051])
def test_a_malformed_address_is_refused(address: Any) -> None:
    with pytest.raises(CgnError, match="address: must be HOST:PORT"):
        open_channel(address, env={})

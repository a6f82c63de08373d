"""Bad input hurts neither server. `make fuzz` sends more of it."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import check_memory
from tests.fuzz.run import fuzz

INPUTS = 2_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_bad_input_gets_an_error_and_does_no_harm(tmp_path: Path) -> None:
    report = fuzz(INPUTS, tmp_path)
    assert report.inputs >= INPUTS * 0.9 and report.raw
    assert {code for _, code in report.answers} >= {"INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED"}
    check_memory(report)

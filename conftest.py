"""What holds for all tests: options of the command line, and how hypothesis behaves."""

import hypothesis
import pytest

pytest_plugins = ["tests.bad_inputs.counting"]

# A busy machine is no failure; pytest's own timeout ends what never ends.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make golden` asks for. pytest looks for options here, not in folders below."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected files of tests/golden; read the diff before you commit it",
    )

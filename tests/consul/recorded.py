"""Answers under `data/`: each file says where it comes from, and of which version of Consul it is."""

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def recorded_body(name: str) -> Any:
    """Give the body of a recorded answer, parsed."""
    return json.loads((DATA / f"{name}.json").read_text())["body"]


def recorded(name: str) -> bytes:
    """Give the body of a recorded answer as Consul would send it."""
    return json.dumps(recorded_body(name)).encode()

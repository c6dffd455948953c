"""For how long a fault lasts."""

from typing import Final

SHORT: Final = 8.0
LONG: Final = 20.0

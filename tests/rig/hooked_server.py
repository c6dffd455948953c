"""An xds-server in which a test can make something happen that no network and no signal brings about."""

import json
import signal
from typing import Any

from tests.rig import hooks
from tests.rig.eventually import eventually
from tests.rig.server import XdsServer


class HookedServer(XdsServer):
    """`await server.do("block", seconds=5)`; `tests/rig/hooks.py` has what it can do."""

    def command(self) -> list[str]:
        python, _, _, *rest = super().command()
        return [python, hooks.__file__, str(self._handle), *rest]

    async def do(self, action: str, **options: Any) -> None:
        """Have it do something; return when it has begun to."""
        fresh = self._handle.with_suffix(".new")
        fresh.write_text(json.dumps({"do": action, **options}))
        fresh.replace(self._handle)
        self.process.signal(signal.SIGUSR1)
        await eventually(lambda: not self._handle.exists(), within=10.0)

    @property
    def _handle(self) -> Any:
        return self.settings_file.with_suffix(".hook")

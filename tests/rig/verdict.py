"""Whether what was recorded was right, and whether the Envoys are as they should be after it."""

from collections.abc import Sequence

from tests.rig.conversation import Rule
from tests.rig.envoy import Envoy
from tests.rig.recorder import Recorder

_SHOWN = 80


async def verdict(recorder: Recorder, envoys: Sequence[Envoy]) -> None:
    """Raise AssertionError with every violation that is not excused and the end of the conversation."""
    wrong = recorder.violations()
    if Rule.WARMING not in recorder.excuses:
        running = [envoy for envoy in envoys if envoy.process.returncode is None]
        wrong += [f"{Rule.WARMING}: {one}" for envoy in running for one in await envoy.waits()]
    if Rule.READABLE not in recorder.excuses and envoys and not recorder.streams():
        wrong.append(f"{Rule.READABLE}: nothing was recorded")
    if wrong:
        said = recorder.transcript().splitlines()[-_SHOWN:]
        raise AssertionError("\n".join(("the conversation was not right:", *wrong, "", *said)))

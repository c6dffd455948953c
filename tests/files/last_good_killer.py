"""Forks a writer of the last good file and kills it at a random moment, again and again.

`last_good_killer.py DIRECTORY TIMES` prints the time in the file after each kill, and fails where none loads.
"""

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.files.last_good_states import AT, CONSUL, EVERYTHING
from xds_server.files.last_good.body import Encoder
from xds_server.files.last_good.envelope import Envelope, pack
from xds_server.files.last_good.loading import load
from xds_server.files.last_good.store import Store
from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Kept

# Large enough for a kill to fall into the write itself, and of what cannot be deflated.
LARGE = Kept(type=TypeUrl.CLUSTER, name="large", packed=os.urandom(2_000_000))
BODY = Encoder().encode(replace(EVERYTHING, withheld=(replace(EVERYTHING.withheld[0], kept=(LARGE,)),)))
FILES = [pack(Envelope(at=AT + number, source=CONSUL, body=BODY)) for number in range(2)]


def write(directory: Path, told: int) -> None:
    """Write without end, and tell when it begins."""
    store = Store(directory)
    store.claim()
    store.write(FILES[0])
    os.write(told, b"!")
    while True:
        for file in reversed(FILES):
            store.write(file)


def main() -> None:
    """Do as the module says."""
    directory, times = Path(sys.argv[1]), int(sys.argv[2])
    moments = random.Random(times)  # noqa: S311 - moments, no secret
    for _ in range(times):
        ear, mouth = os.pipe()
        writer = os.fork()
        if not writer:
            write(directory, mouth)
        os.close(mouth)
        began = os.read(ear, 1)
        time.sleep(moments.uniform(0.0, 0.02))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.close(ear)
        data = Store(directory).read()
        if not began or data is None:
            raise SystemExit("there is nothing")
        sys.stdout.write(f"{load(data, CONSUL, 3600.0, AT).at}\n")


if __name__ == "__main__":
    main()

"""A worker process: `python -m xds_server.app.workers DESCRIPTOR`, which its parent starts."""

import asyncio
import socket
import sys

from xds_server.app.workers.worker import work

if __name__ == "__main__":
    asyncio.run(work(socket.socket(fileno=int(sys.argv[1]))))

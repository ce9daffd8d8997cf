"""A worker of a local sweep: ``python -m sim.studies.sweep_worker ADDRESS NAME FOLDER``.

A process of its own program, so that it never imports the script that started the sweep: no guard is needed there. The
keys of the connection come by standard input; when that closes, the sweep is gone, however it ended, and so is this.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from threading import Thread


def main() -> None:
    """Work until the sweep is gone."""
    address, name, folder = sys.argv[1:]
    keys = json.loads(sys.stdin.readline())
    Thread(target=_end_with_the_sweep, daemon=True).start()
    # The sweep held both signals back while this started. Ctrl-C stays so: it is the sweep that ends its workers.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    asyncio.run(_work(address, name, folder, keys))
    # Without waiting for a run that nobody asks for any more.
    os._exit(0)


def _end_with_the_sweep() -> None:
    sys.stdin.read()
    os._exit(0)


async def _work(address: str, name: str, folder: str, keys: dict[str, str]) -> None:
    from distributed import Worker
    from distributed.security import Security

    security = Security(require_encryption=True, **keys)
    async with Worker(
        address,
        nthreads=1,
        name=name,
        local_directory=folder,
        security=security,
        host="127.0.0.1",
        dashboard=False,
        memory_limit=0,
        death_timeout=60,
    ) as worker:
        await worker.finished()


if __name__ == "__main__":
    main()

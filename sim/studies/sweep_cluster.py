"""Workers of a sweep, by Dask: processes of this machine, or those of a cluster that is there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final, Generic, Protocol, TypeVar

from sim.delivery.compiled import processors
from sim.errors import ClusterError, complaint
from sim.studies.runs import signals_held

#: So often is a job tried again whose function fails for no fault of the user; of lost workers Dask counts as many.
RETRIES: Final = 3
#: Jobs handed out ahead for each worker: none is idle between two, and a sweep's scenarios do not all travel at once.
_AHEAD = 4
_LEAST_AHEAD = 32
#: Seconds between two looks at the workers, and until a scheduler, or its first worker, is missed.
_LOOK_S, _CONNECT_S, _WORKERS_S = 0.5, 15.0, 120.0
_PACKAGES = {"distributed": "cluster", "pyarrow": "store"}
_ADDRESS, _EXAMPLE = re.compile(r"(tcp|tls|ucx|ws|wss)://[^\s/]+:\d+/?"), "tcp://192.0.2.1:8786"
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Named(Protocol):
    """A job: its name is its key on the cluster."""

    @property
    def name(self) -> str:
        """The name."""


J = TypeVar("J", bound=Named)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker brings back.

    Attributes
    ----------
    value : what the function returned.
    worker, host : which worker, and on which machine.
    seconds : how long it took there.
    """

    value: Any
    worker: str
    host: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Done(Generic[J]):
    """A job that is done: its answer, and how many workers were lost that had it."""

    job: J
    answer: Answer
    workers_lost: int


def check_packages() -> None:
    """Refuse to begin where a package is missing.

    Raises
    ------
    ClusterError
        Naming the package and the extra that brings it.
    """
    for package, extra in _PACKAGES.items():
        if not _is_there(package):
            raise ClusterError(
                f"a sweep needs the package {package}, which is not installed; "
                f"allowed: pip install 'tls-delivery-sim[{extra}]'"
            )


def _is_there(package: str) -> bool:
    return find_spec(package) is not None


def answer(work: Callable[..., Any], *arguments: Any) -> Answer:
    """Call a function on a worker."""
    from distributed import get_worker

    begun = time.perf_counter()
    value = work(*arguments)
    return Answer(value, str(get_worker().name), socket.gethostname(), time.perf_counter() - begun)


class Cluster:
    """Workers behind a scheduler, and a client of it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def tend(self) -> None:
        """Look after the workers; of a cluster that is there, others do."""

    def useful(self) -> None:
        """Note that a worker has done something."""

    def threads(self) -> int:
        """Return how many jobs can run at once."""
        return sum(self.client.nthreads().values())

    def wait_for_workers(self) -> None:
        """Return when there is a worker.

        Raises
        ------
        ClusterError
            When none comes.
        """
        begun = time.monotonic()
        while not self.threads():
            self.tend()
            if time.monotonic() - begun > _WORKERS_S:
                raise ClusterError(f"no worker has come to the scheduler in {_WORKERS_S:.0f} s; allowed: one or more")
            time.sleep(0.05)


class LocalCluster(Cluster):
    """Processes of this machine. One that dies is replaced."""

    def __init__(self, client: Any, address: str, keys: Mapping[str, str], folder: Path, count: int) -> None:
        super().__init__(client)
        self.address = address
        self.keys = json.dumps(dict(keys)) + "\n"
        self.folder = folder
        self.count = count
        self.started = 0
        self.running: list[subprocess.Popen[str]] = []
        #: More than this are no accident.
        self.most = 4 * count + 8

    def tend(self) -> None:
        """Start as many workers as there shall be.

        Raises
        ------
        ClusterError
            When they die again and again: with the last words of one.
        """
        for process in [process for process in self.running if process.poll() is not None]:
            self.running.remove(process)
            _close(process)
        while len(self.running) < self.count:
            if self.started >= self.most:
                raise ClusterError(f"workers end as soon as they have begun: {self._last_words()}")
            self._start()

    def useful(self) -> None:
        """Note that a worker has done something: those that die from now on are counted anew."""
        self.most = self.started + 4 * self.count + 8

    def stop(self) -> None:
        """End all workers at once; whatever they are doing is lost to nobody."""
        for process in self.running:
            process.kill()
        for process in self.running:
            process.wait()
            _close(process)

    def _start(self) -> None:
        self.started += 1
        name = f"local-{self.started}"
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "sim.studies.sweep_worker", self.address, name, str(self.folder)]
        with (self.folder / f"{name}.log").open("w") as log, signals_held():
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                text=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            self.running.append(process)
        assert process.stdin is not None
        try:
            process.stdin.write(self.keys)
            process.stdin.flush()
        except BrokenPipeError:
            # It has died already, which the next look finds.
            return

    def _last_words(self) -> str:
        for number in range(self.started, 0, -1):
            lines = (self.folder / f"local-{number}.log").read_text(errors="replace").split("\n")
            if told := [line.strip() for line in lines if line.strip()]:
                return told[-1]
        return "they say nothing"


def _close(process: subprocess.Popen[str]) -> None:
    """Close the standard input of a worker that is gone, with whatever it has not read."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


@contextmanager
def local_cluster(workers: int | None, most: int) -> Iterator[LocalCluster]:
    """Yield workers of this machine, which are all gone when the block ends, whichever way.

    The scheduler is in this process and listens on 127.0.0.1 alone, with keys made for this sweep, since whoever can
    speak to a scheduler can run code.

    Parameters
    ----------
    workers : how many; None = the processors there are.
    most : jobs there are, and so workers at most.
    """
    import dask
    from distributed import Client
    from distributed import LocalCluster as Local
    from distributed.security import Security

    with ExitStack() as stack, _quiet():
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tlssim-sweep-", ignore_cleanup_errors=True)))
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": RETRIES}))
        security = Security.temporary()
        scheduler = stack.enter_context(
            Local(
                n_workers=0,
                host="127.0.0.1",
                protocol="tls://",
                security=security,
                scheduler_port=0,
                dashboard_address="127.0.0.1:0",  # none would be port 8787, which may be taken
                silence_logs=logging.CRITICAL,
            )
        )
        client = stack.enter_context(Client(scheduler, set_as_default=False))
        keys = {name: getattr(security, name) for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key")}
        cluster = LocalCluster(client, scheduler.scheduler_address, keys, folder, min(workers or processors(), most))
        stack.callback(cluster.stop)
        cluster.tend()
        cluster.wait_for_workers()
        yield cluster


@contextmanager
def remote_cluster(address: str) -> Iterator[Cluster]:
    """Yield the workers of a scheduler that runs somewhere.

    Raises
    ------
    ClusterError
        When there is none at the address, or it has no workers.
    """
    from distributed import Client

    if not _ADDRESS.fullmatch(address):
        raise ClusterError(complaint("scheduler", address, f"the address of a Dask scheduler, such as {_EXAMPLE}"))
    with _quiet():
        try:
            with ThreadPoolExecutor(1) as pool:  # a notebook has a loop of its own in this thread
                pool.submit(asyncio.run, _ask(address)).result()
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as fault:
            why = " ".join(str(fault).split()).split(" after ")[0] or type(fault).__name__
            allowed = f"the address of a Dask scheduler that runs, such as {_EXAMPLE} ({why.lower()})"
            raise ClusterError(complaint("scheduler", address, allowed)) from fault
        with client:
            cluster = Cluster(client)
            cluster.wait_for_workers()
            yield cluster


async def _ask(address: str) -> None:
    """Connect once and part: a client tries for ever where somebody listens and never answers."""
    from distributed.comm.core import connect
    from distributed.security import Security

    asked = connect(address, timeout=_CONNECT_S, **Security().get_connection_args("client"))
    comm = await asyncio.wait_for(asked, 2 * _CONNECT_S)
    comm.abort()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own messages from the terminal: what matters is told as an error of this program."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            # A population of many destinations travels once.
            warnings.filterwarnings("ignore", "Sending large graph")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def run(cluster: Cluster, jobs: Sequence[J], submit: Callable[[Any, J], Any]) -> Iterator[Done[J]]:
    """Do jobs and yield each when it is done, in any order. The job of a lost worker is done by another.

    Parameters
    ----------
    cluster : whose workers.
    jobs : no two of one name; begun in this order.
    submit : given the client and a job, hands it out and returns its future, whose result is an `Answer`.

    Raises
    ------
    ClusterError
        When the workers are lost again and again.
    """
    with _interrupts_noted() as heed:
        yield from _run(cluster, jobs, submit, heed)


def _run(
    cluster: Cluster, jobs: Sequence[J], submit: Callable[[Any, J], Any], heed: Callable[[], None]
) -> Iterator[Done[J]]:
    waiting, out = deque(jobs), dict[str, tuple[J, Any]]()
    finished: SimpleQueue[str] = SimpleQueue()
    while waiting or out:
        with faults_told():
            while waiting and len(out) < max(_LEAST_AHEAD, _AHEAD * cluster.threads()):
                job = waiting.popleft()
                future = submit(cluster.client, job)
                out[future.key] = job, future
                future.add_done_callback(lambda future: finished.put(future.key))
            keys = [key for key in _some(finished) if key in out]
            heed()
            if not keys:
                cluster.tend()
                continue
            lost = cluster.client.run_on_scheduler(_lost_workers, keys=keys)
        for key in keys:
            job, future = out.pop(key)
            with faults_told(job.name):
                found = _result(cluster, future, heed)
            yield Done(job, found, lost[key])
            heed()
        cluster.useful()


@contextmanager
def _interrupts_noted() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C and SIGTERM, and yield what lets them act: in a destructor, of which Dask has many, they are lost."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        noted.append(number)

    def heed() -> None:
        if noted:
            number = noted.pop()
            handler = before[signal.Signals(number)]
            signal.signal(number, handler)
            assert callable(handler)
            handler(number, None)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield heed
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)


@contextmanager
def faults_told(job: str = "") -> Iterator[None]:
    """Tell what may befall a cluster as one line."""
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker:
        raise ClusterError(
            f"{job}: {RETRIES + 1} workers were lost one after another while they had it; "
            "is there enough memory for each?"
        ) from None
    except ImportError as fault:
        raise ClusterError(
            f"a worker cannot import {fault.name or 'this package'}; allowed: tls-delivery-sim on every machine"
        ) from fault
    except (OSError, CancelledError, asyncio.CancelledError) as fault:
        raise ClusterError(
            "the connection to the scheduler was lost; runs that are done are kept, and the same command goes on"
        ) from fault


def _some(finished: SimpleQueue[str]) -> list[str]:
    """Wait a moment for a key, and return it with all others that are there."""
    keys = []
    try:
        keys.append(finished.get(timeout=_LOOK_S))
        while True:
            keys.append(finished.get_nowait())
    except Empty:
        return list(dict.fromkeys(keys))


def _result(cluster: Cluster, future: Any, heed: Callable[[], None]) -> Answer:
    """Fetch a result; where its worker was lost after all, wait until another has done it again."""
    while True:
        try:
            found: Answer = future.result(timeout=_LOOK_S)
        except TimeoutError:
            heed()
            cluster.tend()
        else:
            return found


def _lost_workers(keys: list[str], dask_scheduler: Any = None) -> dict[str, int]:
    """Return how many workers were lost that had each of some jobs; runs on the scheduler."""
    tasks = dask_scheduler.tasks
    return {key: tasks[key].suspicious if key in tasks else 0 for key in keys}

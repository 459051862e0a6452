"""Sync worker processes: started by spawn, watched, started again.

A worker sends a beat every second over a pipe whose end also tells it that its parent is gone. One that dies is
started again after a pause that doubles while it keeps dying; one that is silent for 10 s is killed first. What a worker
did is in the store, so its successor goes on from there.
"""

import asyncio
import multiprocessing
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.config import Config
from mailsync_grpc.content.spool import open_spool
from mailsync_grpc.server import exposition, logs
from mailsync_grpc.sync import worker

HUNG_AFTER: Final = 10.0
START_PATIENCE: Final = 60.0
"""Seconds until the first beat: a busy machine may take long to import."""
_LOOK: Final = 0.25
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SOUND_LIFE: Final = 60.0
_STOP_PATIENCE: Final = 8.0

_log = structlog.get_logger(__name__)
_spawn = multiprocessing.get_context("spawn")


def pause(failures: int) -> float:
    """Return seconds before a worker is started again that failed this many times in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (failures - 1))


def verdict(alive: bool, silent: float, patience: float) -> str:
    """Return why a worker must be replaced: died, hung, or nothing when it need not."""
    if not alive:
        return "died"
    return "hung" if silent > patience else ""


@dataclass(slots=True)
class _Worker:
    """A process, our end of its pipe, and when it was heard of (monotonic seconds)."""

    process: SpawnProcess
    pipe: Connection
    started: float
    heard: float
    beating: bool = False

    def listen(self) -> None:
        """Take the beats that came."""
        with suppress(EOFError, OSError):  # the process is gone, which is noticed as such
            while self.pipe.poll():
                self.pipe.recv_bytes()
                self.heard = time.monotonic()
                self.beating = True

    def end(self, patience: float) -> None:
        """Ask the process to stop, wait, and kill it when it does not."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class Supervisor:
    """Keeps workers alive, `config.workers` of them. Used by one event loop; `hung_after` is seconds of silence."""

    def __init__(self, config: Config, hung_after: float = HUNG_AFTER) -> None:
        self._config = config
        self._count = config.workers
        self._hung_after = hung_after
        self._workers: dict[int, _Worker] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def alive(self) -> int:
        """How many workers were heard of and have not failed since."""
        return sum(found.beating for found in self._workers.values())

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers, by index."""
        return [found.process.pid or 0 for _, found in sorted(self._workers.items())]

    async def start(self) -> None:
        """Start every worker and begin to watch them."""
        for index in range(self._count):
            self._workers[index] = await asyncio.to_thread(self._begin, index)
            self._tasks.append(asyncio.create_task(self._keep(index), name=f"worker {index}"))

    async def stop(self) -> None:
        """Stop every worker; those that do not within 8 s are killed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ending = [asyncio.to_thread(found.end, _STOP_PATIENCE) for found in self._workers.values()]
        self._workers.clear()
        await asyncio.gather(*ending)

    def _begin(self, index: int) -> _Worker:
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(
            target=work, args=(self._config, index, self._count, theirs), name=f"mailsync-worker-{index}"
        )
        process.start()
        theirs.close()
        now = time.monotonic()
        return _Worker(process, ours, now, now)

    async def _keep(self, index: int) -> None:
        failures = 0
        while True:
            found = self._workers[index]
            cause = await self._failure(found)
            del self._workers[index]
            failures = 1 if time.monotonic() - found.started > _SOUND_LIFE else failures + 1
            pid, code = found.process.pid, found.process.exitcode
            # A hung process heeds no signal but the last.
            found.process.kill()
            await asyncio.to_thread(found.end, 0.0)
            _log.error("worker failed, starting it again", index=index, cause=cause, pid=pid, exit_code=code)
            metrics.WORKER_RESTARTS.labels(cause).inc()
            exposition.forget_process(pid)
            await asyncio.sleep(pause(failures))
            self._workers[index] = await asyncio.to_thread(self._begin, index)

    async def _failure(self, found: _Worker) -> str:
        """Return, once the worker must be replaced, why."""
        while True:
            found.listen()
            patience = self._hung_after if found.beating else START_PATIENCE
            cause = verdict(found.process.is_alive(), time.monotonic() - found.heard, patience)
            if cause:
                return cause
            await asyncio.sleep(_LOOK)


def work(config: Config, index: int, count: int, pipe: Connection) -> None:
    """Be a worker process."""
    logs.configure(config)
    worker.run(config, index, count, pipe, open_spool)

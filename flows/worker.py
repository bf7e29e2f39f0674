"""The worker of the platform, `python -m flows.worker`: Prefect's process worker, limited to this project's flows.

Prefect's own worker uses command, folder and environment from job variables, and a deployment's pull steps and entrypoint
from the server, so everybody who may write to the server may run commands here. This worker starts the flow with the
run's name from its own checkout, in its own folder and environment. A run only gets its parameters from the server, and
the flow checks them.
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from flows import settings  # before Prefect, which reads its settings from the environment

settings.configure(settings.project_root())

from prefect.client.schemas.objects import FlowRun  # noqa: E402
from prefect.runner._flow_run_executor import FlowRunExecutorContext  # noqa: E402
from prefect.runner._starter_engine import EngineCommandStarter  # noqa: E402
from prefect.utilities.processutils import command_to_string, setup_signal_handlers_worker  # noqa: E402
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult  # noqa: E402

from flows import processes, recovery  # noqa: E402
from flows.definitions import DEFINITIONS  # noqa: E402
from flows.deploy import POOL, POOL_TYPE  # noqa: E402

CODE = Path(__file__).parents[1]
NICENESS = 10  # of runs, so that the server and the panel answer while runs use all cores, and free SQLite's lock soon
TIDY_S = 15
SETTLE_ATTEMPTS = 20  # five minutes; later the next start closes the run
ENTRYPOINTS = {name: f"flows/pipeline.py:{name.replace('-', '_')}" for name in DEFINITIONS} | {
    "housekeeping": "flows/housekeeping/flow.py:housekeeping",
    "sweep": "flows/sweeping.py:sweep",
}


class RefusedRun(Exception):
    """A run that this worker does not start; the message has the reason."""


class PipelineWorker(ProcessWorker):
    """Starts this project's flows in their own processes; see the module's docstring."""

    type = POOL_TYPE
    _display_name = "Phiforge"
    _description = "Runs only the flows of this project."

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
    ) -> ProcessWorkerResult:
        """Run a flow in its own process until it ends.

        Raises:
            RefusedRun: it is not a flow of this project, or it has job variables. Prefect marks it as crashed.
        """
        name = (await self.client.read_flow(flow_run.flow_id)).name
        entrypoint = self._entrypoint(name, flow_run.job_variables or {})

        async def own_flow(_flow_run: FlowRun) -> Any:
            path, _, function = entrypoint.partition(":")
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            return getattr(module, function)  # for its hooks, which report a crash to MLflow

        with tempfile.TemporaryDirectory(prefix="phiforge-run-") as storage:
            async with FlowRunExecutorContext() as context:
                starter = EngineCommandStarter(
                    command=command_to_string(processes.guarded("prefect.engine")),  # ends when this worker ends
                    tmp_dir=Path(storage),
                    entrypoint=entrypoint,
                    cwd=CODE,
                    env=dict(os.environ) | processes.CODE,
                    control_channel=context.control_channel,
                )
                executor = context.create_executor(flow_run, starter, resolve_flow=own_flow, propose_submitting=False)
                try:
                    return await self._execute(executor, task_status)
                finally:
                    await settle(flow_run)

    @staticmethod
    def _entrypoint(name: str, job_variables: dict[str, Any]) -> str:
        if name not in ENTRYPOINTS:
            raise RefusedRun(f"{name!r} is not a flow of this project; expected one of: {', '.join(ENTRYPOINTS)}")
        if job_variables:
            raise RefusedRun(
                f"the run has the job variables {', '.join(sorted(map(str, job_variables)))}, but this worker "
                "uses its own command, folder and environment; create the run without them"
            )
        return ENTRYPOINTS[name]

    @staticmethod
    async def _execute(executor: Any, task_status: anyio.abc.TaskStatus[int]) -> ProcessWorkerResult:
        """Wait for the process, and report its id to the worker when it runs."""
        results: list[Any] = []

        async def execute(*, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
            results.append(await executor.submit(task_status=task_status))

        async with anyio.create_task_group() as group:
            handle = await group.start(execute)
            task_status.started(handle.pid)
        return ProcessWorkerResult(status_code=results[0].status_code, identifier=str(handle.pid))


async def settle(flow_run: FlowRun) -> None:
    """Return when the server and MLflow have stored the end of a run after its process has ended.

    A run reports its end once. If they cannot write then, for example on a full disk, the run would count as running until
    the next one starts; so it is closed when they can write again.
    """
    problem = f"run {flow_run.name} cannot be closed yet"
    for attempt in range(SETTLE_ATTEMPTS):
        if await attempted(problem, recovery.close_ended, settings.project_root(), flow_run.id, attempt > 0):
            return
        await anyio.sleep(TIDY_S)


async def tidy() -> None:
    """While the worker runs, close tasks with an end that the server could not store."""
    while True:
        await anyio.sleep(TIDY_S)
        await attempted("tasks of ended runs cannot be closed yet", recovery.close_tasks_of_ended_runs)


async def attempted(problem: str, act: Callable[..., bool | None], *arguments: Any) -> bool | None:
    """The result of `act`. A failure is printed and returns None, because servers and databases may recover later."""
    try:
        return await anyio.to_thread.run_sync(act, *arguments)
    except Exception as error:  # noqa: BLE001 - the worker continues after any failure
        with contextlib.suppress(OSError):  # the log is on the same full disk
            print(f"{problem}: {error}", flush=True)
    return None


def main(argv: list[str] | None = None) -> None:
    """Run the worker until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m flows.worker", description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=int, default=2, help="maximum concurrent flow runs (default %(default)s)")
    arguments = parser.parse_args(argv)
    os.nice(NICENESS)

    setup_signal_handlers_worker(os.getpid(), "the worker", print)

    async def work() -> None:
        worker = PipelineWorker(work_pool_name=POOL, limit=arguments.limit, create_pool_if_not_found=False)
        async with anyio.create_task_group() as group:
            group.start_soon(tidy)
            await worker.start(with_healthcheck=True)
            group.cancel_scope.cancel()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(work())


if __name__ == "__main__":
    sys.path.insert(0, str(CODE))
    main()

"""What a launcher has left in the environment is refused before Lightning stumbles over it."""

import subprocess
import sys
from typing import Any

import pytest

from components.errors import StepError
from components.params import Params
from components.tracking import Tracker
from components.training import __main__, find
from components.training.processes import NUMBERS, check_processes, rank


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NUMBERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["x", "", "-1", "1.5", "²", " ", "9" * 5000])
def test_what_is_not_a_number_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StepError, match=rf"^{name} is '.*' in the environment; expected a whole number .*; unset it$"):
        check_processes(1)


def test_a_process_of_no_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would leave the work to the first process, which nobody has started."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(StepError, match=r"LOCAL_RANK is 1 in the environment; expected less than 1"):
        check_processes(1)
    check_processes(2)
    assert rank() == 1


@pytest.mark.parametrize("run", [__main__.run, find.run])
def test_the_steps_look_first(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "7")
    with pytest.raises(StepError, match="LOCAL_RANK is 7"):
        run({}, {}, Params(), Tracker())


SCHEDULERS = {
    "SLURM, 4 tasks": {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    | {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NODELIST": "host[1-4]", "SLURM_NTASKS_PER_NODE": "4"},
    "SLURM, the last task": {"SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "3"},
    "SLURM, --ntasks without a name": {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
    "LSF": {"LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/no/such/file", "JSM_NAMESPACE_LOCAL_RANK": "0"}
    | {"JSM_NAMESPACE_SIZE": "4", "JSM_NAMESPACE_RANK": "0", "LSB_HOSTS": "batch a b"},
    "torchrun": {"TORCHELASTIC_RUN_ID": "7", "RANK": "0", "WORLD_SIZE": "4", "GROUP_RANK": "0", "LOCAL_RANK": "0"},
}


@pytest.mark.parametrize("variables", SCHEDULERS.values(), ids=SCHEDULERS)
def test_one_device_trains_within_a_schedulers_job(
    variables: dict[str, str], call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The scheduler has as many tasks as it likes: the step's own processes are those of `training.devices`."""
    call("alone")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    call("within")
    for name in ("model.safetensors", "lineage.json"):
        assert (tmp_path / "within" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_looking_loads_neither_torch_nor_lightning() -> None:
    code = "import components.training.processes, sys; print(sorted({'torch', 'lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

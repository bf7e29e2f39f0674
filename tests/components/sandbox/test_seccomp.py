"""The filter, run by an interpreter of its own for both processors, says what the table says."""

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sandbox import seccomp, syscalls

PID = 12345
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x80000000
FILTERS = {machine: seccomp.Template(machine).of(PID) for machine in ARCHITECTURES}


def run(program: bytes, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel does with a call: classic BPF over struct seccomp_data, as far as the filter uses it."""
    words = [a & (1 << 64) - 1 for a in (*arguments, *(0,) * (6 - len(arguments)))]
    data = struct.pack("IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *words)
    code = list(struct.iter_unpack("HBBI", program))
    at, value = 0, 0
    for _ in range(len(code)):
        operation, true, false, operand = code[at]
        at += 1
        if operation == 0x20:
            value = struct.unpack_from("I", data, operand)[0]
        elif operation == 0x54:
            value &= operand
        elif operation == 0x05:
            at += operand
        elif operation == 0x06:
            return operand
        else:
            at += true if {0x15: value == operand, 0x35: value >= operand}[operation] else false
    raise AssertionError("the program does not end")


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_call_has_the_answer_of_its_table(machine: str) -> None:
    program, architecture = FILTERS[machine], ARCHITECTURES[machine]
    assert len(program) // 8 <= 4096  # the kernel's limit
    expected = dict.fromkeys(range(syscalls.NEWEST + 1), EPERM)
    for table, answer in ((syscalls.ALLOWED, ALLOW), (syscalls.FATAL, KILL), (syscalls.UNKNOWN, ENOSYS)):
        expected |= dict.fromkeys(table[machine].values(), answer)
    for number in syscalls.FILTERED[machine].values():
        del expected[number]
    for number, answer in expected.items():
        assert run(program, architecture, number, (1, 2, 3, 4, 5, 6)) == answer, number
    for number in (syscalls.NEWEST + 1, 600, 10_000):
        assert run(program, architecture, number) == ENOSYS


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_no_call_has_two_answers(machine: str) -> None:
    tables = (syscalls.ALLOWED, syscalls.FILTERED, syscalls.FATAL, syscalls.UNKNOWN)
    numbers = [number for table in tables for number in table[machine].values()]
    assert len(numbers) == len(set(numbers))
    assert set(syscalls.FILTERED[machine]) == set(seccomp.conditions(1))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_another_architecture_is_fatal(number: int, arguments: list[int]) -> None:
    for machine, architecture in ARCHITECTURES.items():
        for other in {*ARCHITECTURES.values(), 0x40000003, 0} - {architecture}:
            assert run(FILTERS[machine], other, number, tuple(arguments)) == KILL
    assert run(FILTERS["x86_64"], ARCHITECTURES["x86_64"], number | 0x40000000) == KILL


THREAD = 0x3D0F00  # what the C library passes for a thread
CASES = [
    ("clone", (THREAD,), ALLOW), ("clone", (17,), EPERM), ("clone", (0x4111,), EPERM), ("clone", (0,), EPERM),
    ("clone", (THREAD | 0x10000000,), EPERM), ("clone", (THREAD | 0x40000000,), EPERM), ("clone", (THREAD & ~0x10000,), EPERM),
    ("socketpair", (1, 1, 0), ALLOW), ("socketpair", (1, 1 | 0x80000, 0), ALLOW), ("socketpair", (1, 2, 0), EPERM),
    ("socketpair", (2, 1, 0), EPERM), ("socketpair", (1, 5, 0), EPERM),
    ("sendto", (3, 1, 1, 0, 0, 0), ALLOW), ("sendto", (3, 1, 1, 0, 8, 0), EPERM), ("sendto", (3, 1, 1, 0, 1 << 32, 0), EPERM),
    ("ioctl", (0, 0x5401), ALLOW), ("ioctl", (0, 0x5412), EPERM), ("fcntl", (0, 2, 1), ALLOW), ("fcntl", (0, 8, 1), EPERM),
    ("fcntl", (0, 10, 9), EPERM), ("fcntl", (0, 15, 9), EPERM), ("fcntl", (0, 1031, 9), EPERM), ("fcntl", (0, 1033, 1), EPERM),
    ("prctl", (15,), ALLOW), ("prctl", (4, 1), EPERM), ("prctl", (22, 2), EPERM), ("prctl", (1, 0), EPERM),
    ("kill", (PID, 9), ALLOW), ("kill", (-1, 9), EPERM), ("kill", (0, 9), EPERM), ("kill", (PID + 1, 9), EPERM), ("kill", (-PID, 9), EPERM),
    ("tgkill", (PID, PID + 1, 9), ALLOW), ("tgkill", (1, 1, 9), EPERM),
    ("prlimit64", (0, 7, 0, 5), ALLOW), ("prlimit64", (PID, 7, 0, 5), ALLOW), ("prlimit64", (0, 7, 5, 0), EPERM),
    ("prlimit64", (0, 7, 1 << 32, 0), EPERM), ("prlimit64", (1, 7, 0, 5), EPERM),
]  # fmt: skip


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("name", "arguments", "answer"), CASES)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], answer: int) -> None:
    number = syscalls.FILTERED[machine][name]
    assert run(FILTERS[machine], ARCHITECTURES[machine], number, arguments) == answer


def test_numbers_are_those_of_this_machine() -> None:
    """As far as Python can tell: the numbers that differ most between processors."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        pytest.skip(f"no table for {machine}")
    from components.sandbox import kernel

    assert kernel.syscall(syscalls.ALLOWED[machine]["getpid"]) == os.getpid()
    assert kernel.syscall(syscalls.ALLOWED[machine]["getuid"]) == os.getuid()
    assert kernel.syscall(syscalls.ALLOWED[machine]["gettid"]) > 0

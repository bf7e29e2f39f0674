"""seccomp: the system calls that a program may make, as a classic BPF program (kernel's seccomp_filter.rst).

It is a list of allowed calls. Other calls fail with EPERM, end the process (`syscalls.FATAL`), or are answered as by an
older kernel (ENOSYS), so that the C library uses another call. Calls that are only safe with some arguments are checked:

* clone makes only threads, not processes or namespaces.
* socketpair makes a connected pair of Unix streams, for event loops; other sockets are refused.
* kill and tgkill reach only the process itself.
* fcntl cannot arrange signals (F_SETOWN), resize pipes or seal files; ioctl only reads about terminals and blocking.
* prlimit64 only reads. prctl only names threads and memory.
"""

import errno
import struct
from typing import NamedTuple

from components.sandbox import kernel, syscalls

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _JUMP, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_X32 = 0x40000000

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


class Condition(NamedTuple):
    """The bits `mask` of argument number `argument` are one of `values`. `wide` compares all 64 bits (for a pointer)."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False


_CLONE_THREAD = 0x10000 | 0x100 | 0x800  # CLONE_THREAD, CLONE_VM, CLONE_SIGHAND
_CLONE_OTHER = 0x2000 | 0x4000 | 0x7E020000 | 0x80  # ptrace, vfork, every namespace
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)  # duplicate, flags, locks, F_GETPIPE_SZ, F_GET_SEALS
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_PRCTL = (15, 16, 0x53564D41)  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA (the C library names its memory)
_UNIX, _STREAM = 1, 1


def conditions(pid: int) -> dict[str, tuple[Condition, ...]]:
    """The conditions of each call in `syscalls.FILTERED`; `pid` is the confined process."""
    return {
        "clone": (Condition(0, (_CLONE_THREAD,), mask=_CLONE_THREAD | _CLONE_OTHER),),
        "socketpair": (Condition(0, (_UNIX,)), Condition(1, (_STREAM,), mask=0xF)),
        "sendto": (Condition(4, (0,), wide=True),),
        "ioctl": (Condition(1, _IOCTL),),
        "fcntl": (Condition(1, _FCNTL),),
        "prctl": (Condition(0, _PRCTL),),
        "kill": (Condition(0, (pid,)),),
        "tgkill": (Condition(0, (pid,)),),
        "prlimit64": (Condition(0, (0, pid)), Condition(2, (0,), wide=True)),
    }


def build(pid: int, machine: str) -> list[Instruction]:
    """The filter of the process `pid` on a machine, `x86_64` or `aarch64`."""
    leaves = {number: [_return(_ALLOW)] for number in syscalls.ALLOWED[machine].values()}
    leaves |= {number: [_return(_KILL_PROCESS)] for number in syscalls.FATAL[machine].values()}
    leaves |= {number: [_return(_ERRNO | errno.ENOSYS)] for number in syscalls.UNKNOWN[machine].values()}
    for name, all_of in conditions(pid).items():
        leaves[syscalls.FILTERED[machine][name]] = _check(all_of)
    architecture_at, number_at = 4, 0
    program = [(_LOAD, 0, 0, architecture_at), (_EQUAL, 1, 0, _ARCHITECTURE[machine]), _return(_KILL_PROCESS)]
    program += [(_LOAD, 0, 0, number_at)]
    if machine == "x86_64":  # the same calls by other numbers
        program += [(_AT_LEAST, 0, 1, _X32), _return(_KILL_PROCESS)]
    return program + _search(_ranges(leaves))


def install(program: bytes) -> None:
    """Confine this process permanently. Needs no_new_privs. `program` is a result of `assemble`."""
    import ctypes

    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    kernel.prctl(kernel.PR_SET_SECCOMP, kernel.SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header, len(header)))


def assemble(program: list[Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


_PLACEHOLDER = 0x7A3B5C6D  # stands for the process id, which is inserted later


class Template:
    """A filter that is built once; each process only inserts its id."""

    def __init__(self, machine: str) -> None:
        self._program = assemble(build(_PLACEHOLDER, machine))
        self._mark = struct.pack("I", _PLACEHOLDER)

    def of(self, pid: int) -> bytes:
        return self._program.replace(self._mark, struct.pack("I", pid))


def _return(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _check(all_of: tuple[Condition, ...]) -> list[Instruction]:
    """Allow the call if all conditions are true, else refuse it with EPERM at the first false one."""
    refuse = _return(_ERRNO | errno.EPERM)
    program: list[Instruction] = []
    for condition in all_of:
        at = 16 + 8 * condition.argument  # low word first: both processors are little-endian
        if condition.wide:
            program += [(_LOAD, 0, 0, at + 4), (_EQUAL, 1, 0, 0), refuse]
        program += [(_LOAD, 0, 0, at)]
        if condition.mask != 0xFFFFFFFF:
            program += [(_AND, 0, 0, condition.mask)]
        for left, value in zip(range(len(condition.values), 0, -1), condition.values, strict=True):
            program += [(_EQUAL, left, 0, value)]
        program += [refuse]
    return [*program, _return(_ALLOW)]


def _ranges(leaves: dict[int, list[Instruction]]) -> list[tuple[int, list[Instruction]]]:
    """First numbers and their instructions, ascending; neighbours with equal instructions are joined."""
    refuse, unknown = [_return(_ERRNO | errno.EPERM)], [_return(_ERRNO | errno.ENOSYS)]
    ranges: list[tuple[int, list[Instruction]]] = []
    for number in range(syscalls.NEWEST + 2):
        leaf = leaves.get(number, refuse if number <= syscalls.NEWEST else unknown)
        if not ranges or ranges[-1][1] != leaf:
            ranges.append((number, leaf))
    return ranges


def _search(ranges: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Binary search: few steps per call, and the kernel checks the program quickly at installation."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    # A conditional jump reaches 255 instructions, an unconditional one any number.
    return [(_AT_LEAST, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]

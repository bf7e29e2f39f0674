"""A report on isolation for people: each layer, whether this machine has it, and its effect."""

import os
import platform

from components.sandbox.sandbox import Sandbox

_EFFECTS = {
    "namespaces": "own file tree without /proc and home folders, no network, own process table, bounded temporary folder",
    "user": "a user and group that own no files, no capabilities",
    "landlock": "reads only the standard and shared libraries, writes only the temporary folder",
    "seccomp": "no processes, sockets, signals to others, mounts, tracing, io_uring, bpf, keys, permissions",
    "limits": "CPU time, memory, file size, open files, threads; no core dump",
}


def report() -> tuple[str, bool]:
    """The report, and whether programs are isolated, by the test of `selftest`."""
    with Sandbox(allow_unisolated_execution=True) as sandbox:
        found, faults = sandbox.report, sandbox.faults
    details = {"landlock": f"ABI {found['abi']}", "user": _user(found)}
    lines = [f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"]
    for layer, effect in _EFFECTS.items():
        reason = found["missing"].get(layer)
        detail = f" ({details[layer]})" if layer in details and not reason else ""
        lines.append(f"  {layer:<11} {'no: ' + reason if reason else 'yes' + detail + ': ' + effect}")
    if faults:
        lines += ["Generated code is NOT isolated here and is refused:", *(f"  {fault}" for fault in faults)]
        lines.append("  Remedy: a Linux kernel from 6.2 (Landlock ABI 3), or the right to make namespaces; seccomp;")
        lines.append("  an interpreter that other users can read. Containers: allow Landlock's and seccomp's calls.")
    else:
        lines.append("Generated code is isolated here: a program tried to break the isolation without success.")
    return "\n".join(lines), not faults


def _user(found: dict) -> str:
    if found["users"]:
        first, second = found["users"]
        return f"ids {first} and {second}" if first != second else f"id {first}"
    return f"stays {os.geteuid()}, without capabilities"

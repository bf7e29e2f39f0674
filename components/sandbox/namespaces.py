"""A file system, a network, a process table of the sandbox's own (namespaces(7)), where this machine lets us have them.

Root may make them; anyone may through a user namespace, unless the machine forbids it (containers, some distributions).
In the new root there is the interpreter's library and the shared libraries, read-only, four devices and an empty folder
of bounded size; no /proc, no /home, no network but none. The first process there is the server: when it ends, the kernel
ends everything else.
"""

import os
import signal
import sys
import sysconfig
from pathlib import Path

from components.sandbox import kernel

FOLDER = "/tmp"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)  # fmt: skip


def readable_paths() -> list[str]:
    """What a program needs to read: the standard library, shared libraries, time zones, devices."""
    library = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_config_var("LIBDIR")}
    library |= {os.path.join(sys.base_prefix, "lib"), sysconfig.get_config_var("DESTSHARED")}
    shared = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo")
    paths = {os.path.realpath(path) for path in (*library, *shared) if path and os.path.exists(path)}
    # A link such as /lib -> usr/lib is needed under both names; a path below another comes with it.
    paths |= {path for path in shared if os.path.exists(path)}
    inner = {path for path in paths for other in paths if path != other and path.startswith(other.rstrip("/") + "/")}
    return sorted(paths - inner) + list(_DEVICES)


def enter(folder_bytes: int, folder_entries: int) -> None:
    """Move this process into namespaces of its own and a new root; returns in the first process of the new table.

    The calling process stays outside, waits for that one and ends as it ended.

    Raises:
        OSError: the machine does not allow it; the process is to be thrown away.
    """
    if os.geteuid() == 0:
        kernel.unshare(_SPACES)
    else:
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(_SPACES | kernel.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _new_root(folder_bytes, folder_entries)
    child = os.fork()
    if child:
        _wait_as(child)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_as(child: int) -> None:
    """Stand for the process inside: hold nothing open, end as it ends."""
    os.closerange(0, 1 << 20)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _new_root(folder_bytes: int, folder_entries: int) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    root = "/tmp"
    # Names are resolved before the new file system covers them.
    sources = {path: os.open(path, os.O_PATH) for path in readable_paths()}
    kernel.mount("none", root, "tmpfs", kernel.MS_NOSUID, "mode=755,size=1m")
    for path, source in sources.items():
        _show(source, path, root + path)
        os.close(source)
    os.makedirs(root + FOLDER, exist_ok=True)
    options = f"mode=777,size={folder_bytes},nr_inodes={folder_entries + 1}"
    kernel.mount("none", root + FOLDER, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, options)
    kernel.mount("none", root, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID)
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", kernel.MNT_DETACH)
    os.chdir("/")


def _show(source: int, path: str, target: str) -> None:
    """Make a file or folder of the old root visible in the new one, read-only."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    described = f"/proc/self/fd/{source}"
    if os.path.isdir(described):
        os.makedirs(target, exist_ok=True)
    else:
        Path(target).touch()
    kernel.mount(described, target, None, kernel.MS_BIND | kernel.MS_REC)
    if path in _DEVICES:
        return
    # Inside a user namespace the flags that the outer mount has must be kept.
    kept = os.statvfs(target).f_flag & (os.ST_NOEXEC | os.ST_NODEV | os.ST_NOATIME | os.ST_NODIRATIME)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kept
    kernel.mount("none", target, None, flags)

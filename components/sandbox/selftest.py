"""Before a server runs foreign code it runs ours, which tries what no program may do. What works is a fault.

A layer that the kernel promised and that does nothing (an emulated system, a container's own filter) shows here.
"""

import json

from components.sandbox import client
from components.sandbox.types import Job, Outcome

# Each prints what it managed to do. Nothing of it does harm where it is allowed.
_PROGRAM = """
import json, os, resource, socket
done = []

def attempt(what, action):
    try:
        action()
    except Exception:
        return
    done.append(what)

def start():
    if os.fork() == 0:
        os._exit(0)
    os.wait()

attempt("start a process", start)
attempt("open a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
attempt("read /etc/passwd", lambda: open("/etc/passwd").read())
attempt("read a process' memory map", lambda: open("/proc/self/maps").read())
attempt("list /etc", lambda: os.listdir("/etc"))
attempt("signal its parent", lambda: os.kill(os.getppid(), 0))
attempt("change a file's permissions", lambda: os.chmod(".", 0o700))
if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
    done.append("take all memory")
if os.getuid() == 0:
    done.append("be root")
try:
    import colorsys
    open("written", "w").write("x")
except Exception as error:
    print(json.dumps([done, repr(error)]))
else:
    print(json.dumps([done, ""]))
"""


def faults(server: client.Server) -> list[str]:
    """What a program can do in this sandbox that it must not, as sentences; empty when isolation holds.

    Also a fault: that a program cannot even import the standard library or write into its folder.
    """
    missing = server.report["missing"]
    verdict = server.run(Job(_PROGRAM))
    if verdict.outcome is not Outcome.PASSED:
        return [f"a harmless program does not run: {verdict.outcome}: {verdict.error}"]
    managed, broken = json.loads(verdict.stdout)
    found = [f"a program can {what}" for what in managed]
    if found:
        found += [f"{layer}: {reason}" for layer, reason in sorted(missing.items())]
    if broken:
        found.append(f"a program cannot use the standard library or its folder: {broken}")
    return found

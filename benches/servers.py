"""The servers of `make bench`: how each is begun, watched and ended, and what its whole tree of processes holds in memory."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE = 60


@dataclass(frozen=True)
class Server:
    """A command that serves on {port}."""

    name: str
    words: tuple
    folder: Path = field(default_factory=Path.cwd)


class Served:
    """A server that runs, from its first answer until it is left."""

    def __init__(self, server, row):
        self.server, self.row = server, row
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tempfile.TemporaryFile("w+")

    def __enter__(self):
        words = [word.format(port=self.port) for word in self.server.words]
        self.process = subprocess.Popen(words, cwd=self.server.folder, stdout=self.log, stderr=self.log, start_new_session=True)
        end = time.monotonic() + DEADLINE
        while not self.answers():
            if time.monotonic() > end or self.process.poll() is not None:
                self.__exit__()
                raise SystemExit(f"{self.server.name} does not begin: {' '.join(words)}\n{self.said()}")
            time.sleep(0.05)
        return self

    def answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request("POST" if self.row.sent else "GET", self.row.path, body=self.row.sent)
            response = connection.getresponse()
            body = response.read()
        except ConnectionError:
            return False
        finally:
            connection.close()
        if (response.status, body) != (200, self.row.body):
            raise SystemExit(f"{self.row.name}: {self.server.name} answers {response.status} {body[:200]!r}\n{self.said()}")
        return True

    def url(self):
        return f"http://127.0.0.1:{self.port}{self.row.path}"

    def said(self):
        self.log.seek(0)
        return self.log.read()[-4000:]

    def memory(self):
        """MiB of all its processes; what several of them share counts once (PSS)."""
        return sum(proportional(pid) for pid in tree(self.process.pid)) / 1024

    def cpu(self):
        """Seconds of CPU time that all its processes have used, those that have ended among them."""
        return sum(ticks(pid) for pid in tree(self.process.pid)) / os.sysconf("SC_CLK_TCK")

    def __exit__(self, *_):
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, kind)
                self.process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def tree(root):
    """A process and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def ticks(pid):
    """Ticks of the clock that a process has used, and its children that it has waited for (proc(5), stat: 14 to 17)."""
    try:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]))
    except OSError:
        return 0


def proportional(pid):
    """KiB of a process."""
    try:
        return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0

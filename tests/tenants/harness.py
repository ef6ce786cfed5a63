"""A host with tenants, a neighbour that behaves, and tables: what hostile.py, faults.py, soak.py, deploys.py and density.py have in common.

Standard library only. Every server is on the loopback, on a free port, and is ended by its pid.
"""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEADLINE = 60
# The neighbour: requests a second, at a constant rate, whatever becomes of them.
RATE = 50


class AdminConnection(http.client.HTTPConnection):
    """HTTP over the admin socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self.path)


class Host:
    """`wasgi serve --config`, with a configuration of its own."""

    def __init__(self, program, apps, *, host="", extra="", cache=None, state="state", prefix=()):
        self.program = program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wasgi-tenants-"))
        self.cache = cache or self.folder / "cache"
        self.state = self.folder / state
        self.port = free_port()
        self.config = self.folder / "host.toml"
        self.log = (self.folder / "log").open("w+")
        self.head = (
            f'[host]\nstate = "{self.state}"\ncache = "{self.cache}"\n{host}\n[listen]\nbind = "127.0.0.1:{self.port}"\n'
            f'[log]\naccess = "json"\nlines = "json"\n{extra}\n'
        )
        self.configure(apps)
        self.process = None
        self.prefix = list(prefix)
        self.start()

    def configure(self, apps):
        self.config.write_text(self.head + "\n".join(apps))

    def start(self):
        command = [*self.prefix, self.program, "serve", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            if line.startswith("ready"):
                return
        self.log.seek(0)
        raise SystemExit(f"the host did not begin:\n{self.log.read()[-4000:]}")

    def logged(self):
        return (self.folder / "log").read_text(errors="replace")

    def tenant_log(self, tenant, since=None):
        """A tenant's log; or what has come since a mark, of which a part may be in the file before: a flood fills more than one."""
        files = [self.state / "logs" / f"{tenant}.log{older}" for older in (".1", "")]
        older, text = [file.read_text(errors="replace") if file.exists() else "" for file in files]
        if not since:
            return text
        if since[0] and text.startswith(since[0]):
            return text[since[1]:]
        # Where the mark is in neither, or was made before there was a log, both have come behind it.
        return (older[since[1]:] if older.startswith(since[0]) else older) + text

    def log_mark(self, tenant):
        """How a tenant's log begins, which has a time in it, and how long it is."""
        text = self.tenant_log(tenant)
        return text[:200], len(text)

    def admin(self, method, path, body=None):
        connection = AdminConnection(self.state / "admin.sock")
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers={"Content-Type": "application/toml"})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def tenants(self):
        return {tenant["tenant"]: tenant for tenant in json.loads(self.admin("GET", "/tenants")[1])}

    def metric(self, name):
        """A number of `/metrics`: the sum over its labels."""
        lines = [line for line in self.admin("GET", "/metrics")[1].splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def workers(self):
        return [worker["pid"] for worker in json.loads(self.admin("GET", "/workers")[1])["workers"] if worker["pid"]]

    def get(self, tenant, path="/", timeout=DEADLINE, **headers):
        """Status and body; None for a connection that was broken off."""
        return ask(self.port, tenant, path, timeout=timeout, **headers)

    def settle(self, tenant):
        """Waits until a tenant has nothing that runs; what it has then."""
        return wait_for(lambda: (lambda now: now if now["running"] == now["waiting"] == 0 else None)(self.tenants()[tenant]))

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None

    def close(self):
        code = self.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(port, tenant, path="/", timeout=DEADLINE, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers={"Host": f"{tenant}.test", "Connection": "close", **headers})
        reply = connection.getresponse()
        try:
            return reply.status, reply.read()
        except (http.client.IncompleteRead, OSError):
            return reply.status, None
    except (http.client.HTTPException, OSError):
        return None, None
    finally:
        connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(look, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def app(tenant, source, *, limits="", **keys):
    """An [[app]] table, served at TENANT.test."""
    lines = [f'[[app]]\ntenant = "{tenant}"\nsource = "{source}"\nhost = "{tenant}.test"']
    for key, value in keys.items():
        # What JSON writes of text, numbers and switches, TOML reads; a table it writes otherwise.
        table = isinstance(value, dict) and ", ".join(f"{name} = {json.dumps(text)}" for name, text in value.items())
        lines.append(f"{key} = {{ {table} }}" if table else f"{key} = {json.dumps(value)}")
    if limits:
        lines.append(f"[app.limits]\n{limits}")
    return "\n".join(lines) + "\n"


def tenant(name, limits):
    return f'[[tenant]]\nname = "{name}"\n[tenant.limits]\n{limits}\n'


class Neighbour:
    """A tenant that behaves, asked at a constant rate: a slow answer delays no later request, and counts from when it was due.

    Asked from a process of its own, which no attacker's thread holds up.
    """

    def __init__(self, port, name="neighbour", rate=RATE):
        command = [sys.executable, __file__, str(port), name, str(rate)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.times, self.bad, self.before = [], [], stolen()
        # It asks from now on.
        self.process.stdout.readline()

    def stop(self):
        answers = json.loads(self.process.communicate(timeout=2 * DEADLINE)[0])
        self.times, self.bad = answers["times"], answers["bad"]
        self.stolen = stolen() - self.before
        return self

    def longest(self):
        return max((took for _, took in self.times), default=float("nan"))

    def p99(self):
        times = sorted(took for _, took in self.times)
        return times[min(len(times) - 1, int(len(times) * 0.99))] if times else float("nan")

    @staticmethod
    def ask(port, name, rate, threads=16):
        """Asks until standard input ends; prints when each was due, in seconds, and how long it took, in milliseconds."""
        times, bad, lock, ended = [], [], threading.Lock(), threading.Event()
        numbers, began = itertools.count(), time.monotonic()

        def run():
            while True:
                with lock:
                    due = began + next(numbers) / rate
                if ended.wait(max(0, due - time.monotonic())):
                    return
                status, body = ask(port, name)
                took = (time.monotonic() - due) * 1e3
                with lock:
                    times.append((due - began, took))
                    if status != 200 or body != b"hello\n":
                        bad.append((status, repr(body)))

        asking = [threading.Thread(target=run) for _ in range(threads)]
        for thread in asking:
            thread.start()
        print("asking", flush=True)
        sys.stdin.read()
        ended.set()
        for thread in asking:
            thread.join()
        print(json.dumps({"times": times, "bad": bad}))


def stolen():
    """Milliseconds that other machines on the same hardware have had of this one's processors (`steal` of proc_stat(5)), rounded to 10."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) * 1000 // os.sysconf("SC_CLK_TCK")


def within(p99, alone):
    """The bound of a neighbour: the larger of twice its p99 alone, and that plus 50 ms."""
    return p99 <= max(2 * alone, alone + 50)


def memory(pid):
    """Resident and private bytes of a process."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) << 10
    return fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"]


def open_files(pid):
    return len(opened(pid))


def opened(pid):
    """What a process has open."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


class Table:
    """Rows, printed as they come; the command fails if one of them is bad."""

    def __init__(self, *columns):
        self.columns, self.bad = columns, 0
        self.row(*(name for name, _ in columns))
        print("-" * sum(width + 2 for _, width in columns))

    def row(self, *cells, good=True):
        text = "  ".join(str(cell)[:width].ljust(width) for cell, (_, width) in zip(cells, self.columns))
        print(text.rstrip() + ("" if good else "   <-- BAD"), flush=True)
        if not good:
            for cell in (str(cell) for cell, (_, width) in zip(cells, self.columns) if len(str(cell)) > width):
                print(f"    {cell}", flush=True)
        self.bad += not good

    def end(self, what):
        print(f"{what}: {'all good' if not self.bad else f'{self.bad} BAD'}", flush=True)
        sys.exit(1 if self.bad else 0)


def build(program, source, output, *flags):
    subprocess.run([program, "build", str(source), "-o", str(output), *flags], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return output


if __name__ == "__main__":
    Neighbour.ask(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))

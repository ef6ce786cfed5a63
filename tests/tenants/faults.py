"""What a host does when something around it fails.

Usage: python3 tests/tenants/faults.py PROGRAM GUESTS [--short] [CASE...]. Prints for each fault what was expected and seen, and the neighbour's p99 alone and beside it.
A disk that fills is a loop-back file system of 1 GiB, which needs root.
"""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import Host, Neighbour, Table, ROOT, app, ask, build, wait_for, within

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
# As hostile.py has it: times are printed and not judged.
SHORT = "--short" in sys.argv
ONLY = [word for word in sys.argv[3:] if word != "--short"]
SECONDS = 4
CASES = []


def case(name, expected, lost=0):
    """`lost`: how many of the neighbour's requests may have no answer; None where the host itself ends."""

    def known(function):
        CASES.append((name, expected, function, lost))
        return function

    return known


def hello(host):
    return host.get("neighbour") == (200, b"hello\n")


# What is in flight in a worker that dies has no answer; at the neighbour's rate that is one request or two each time.
@case("a worker is killed, again and again", "replaced; only its own requests are lost", lost=6)
def worker_killed(host):
    for _ in range(3):
        before = host.workers()
        os.kill(before[0], signal.SIGKILL)
        if not wait_for(lambda: len(host.workers()) == 2 and host.workers()[0] != before[0] and host.admin("GET", "/readyz")[0] == 200):
            return "the worker is not replaced"
    return None if host.settle("neighbour") else "places of the dead are still taken"


@case("a worker is stopped, and wakes up", "others serve on; its requests are late, not lost")
def worker_stopped(host):
    worker = host.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(1)
    os.kill(worker, signal.SIGCONT)
    return None if wait_for(lambda: hello(host)) else "it serves no longer"


@case("the compiler is killed", "not deployed, and says so; what is served is served on")
def compiler_killed(host):
    source = host.folder / "fresh.wasm"
    # A component that this cache does not have: compiled from the beginning.
    shutil.copy(GUESTS / "grid-go.wasm", source)
    deploy = subprocess.Popen(
        [PROGRAM, "deploy", str(source), "--tenant", "fresh", "--host", "fresh.test", "--config", str(host.config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    stage = wait_for(lambda: child(host.process.pid, "stage") or deploy.poll() is not None)
    if stage in (None, True):
        return f"no compiler was seen: {deploy.communicate(timeout=60)}"
    os.kill(stage, signal.SIGKILL)
    said = deploy.communicate(timeout=60)[1]
    return None if deploy.returncode == 1 and "the compile ended early" in said else f"it said {said!r}"


@case("no descriptors are left", "says so, and serves again when there are")
def no_descriptors(host):
    worker = host.workers()[0]
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{worker}/fd"))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 2, limits[1]))
    with contextlib.ExitStack() as streams:
        for _ in range(40):
            streams.enter_context(socket.create_connection(("127.0.0.1", host.port), timeout=10))
        told = wait_for(lambda: "accepting a connection failed" in host.logged(), 20)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
    if not told:
        return "nothing was said"
    return None if wait_for(lambda: hello(host)) else "it serves no longer"


def anew(host):
    """Whether it serves what it compiled when it began, and took nothing of the cache."""
    hits, misses = (int(host.metric(f"wasgi_component_cache_{what}_total")) for what in ("hits", "misses"))
    if (hits, misses) != (0, 2):
        return f"{hits} of 2 were taken from the cache, {misses} compiled"
    return None if hello(host) else "it serves no longer"


@case("the cache is corrupted", "compiled anew; the host begins", lost=None)
def cache_corrupted(host):
    host.stop()
    for file in host.cache.rglob("*.cwasm"):
        file.write_bytes(b"\x7fELF damaged")
    for file in (host.cache / "functions-by-hash").iterdir():
        file.write_bytes(os.urandom(4096))
    host.start()
    return anew(host)


@case("the cache is of another version", "compiled anew; the host begins", lost=None)
def cache_of_another(host):
    host.stop()
    for file in host.cache.rglob("*.cwasm"):
        content = file.read_bytes()
        # How wasmtime begins what it says of the compiler: a zero, the length of its version, and that.
        if content.count(b"\0\x0248") != 1:
            return f"{file.name} does not say of which version it is"
        file.write_bytes(content.replace(b"\0\x0248", b"\0\x0247"))
    host.start()
    return anew(host)


@case("the cache is emptied while it serves", "what is mapped is served; the rest is compiled at the next start", lost=None)
def cache_emptied(host):
    for part in ("code", "releases"):
        shutil.rmtree(host.cache / part)
        (host.cache / part).mkdir(mode=0o700)
    if not hello(host):
        return "it serves no longer"
    host.stop()
    host.start()
    return anew(host)


@case("the supervisor is killed", "the workers finish and end; another one begins on the same port", lost=None)
def supervisor_killed(host):
    workers, answers = host.workers(), []
    asking = threading.Thread(target=lambda: answers.append(host.get("other", "/slow")))
    asking.start()
    if not wait_for(lambda: host.tenants()["other"]["running"] == 1):
        return "the request does not run"
    host.process.kill()
    host.process.wait()
    asking.join()
    if answers[0] != (200, b"line 0\nline 1\nline 2\n"):
        return f"the request in flight got {answers[0]}"
    if not wait_for(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers)):
        return "a worker has not ended"
    host.start()
    return None if hello(host) else "it serves no longer"


def child(parent, word):
    """A child of a process whose command line has a word."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent and word.encode() in (folder / "cmdline").read_bytes():
                return int(folder.name)
    return None


def full_disk(table, built, alone):
    """A host whose disk fills: logs, /tmp, deploys."""
    with tempfile.TemporaryDirectory() as outer:
        image, mounted = pathlib.Path(outer) / "image", pathlib.Path(outer) / "mounted"
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
        try:
            apps = [app("neighbour", built, isolation="reuse"), app("writer", GUESTS / "behaviours.wasm", check="/hello")]
            with Host(PROGRAM, apps, host="workers = 2", cache=mounted / "cache", state=mounted / "state", extra=f'folder = "{mounted}/logs"') as host:
                # Both workers have an instance of the neighbour.
                if not all(hello(host) for _ in range(20)):
                    raise SystemExit("the neighbour is not served")
                (mounted / "filler").write_bytes(b"")
                with contextlib.suppress(OSError), (mounted / "filler").open("wb") as filler:
                    while True:
                        filler.write(bytes(1 << 20))
                        filler.flush()
                neighbour = Neighbour(host.port)
                for _ in range(10):
                    host.get("writer", "/log-flood/1000")
                # The guests' /tmp lies in the host's state.
                written = host.get("writer", "/tmp/4")
                source = host.folder / "other.wasm"
                source.write_bytes((GUESTS / "grid-c.wasm").read_bytes())
                status, text = host.admin("POST", "/apps", app("other", source))
                time.sleep(1)
                beside = neighbour.stop().p99()
                wrong = []
                # What waits is served. A new instance needs a folder, and whether there is room for that is chance.
                said = not neighbour.bad or "a private /tmp cannot be made" in host.logged()
                if not said or any(status != 500 for status, _ in neighbour.bad) or len(neighbour.bad) > len(neighbour.times) // 2:
                    wrong.append(f"the neighbour got, of {len(neighbour.times)} answers, {len(neighbour.bad)} like {neighbour.bad[:2]}")
                if written != (200, b"0") and written[0] != 500:
                    wrong.append(f"who writes to /tmp got {written}")
                if status != 422:
                    wrong.append(f"the deploy was answered {status} {text[:80]}")
                (mounted / "filler").unlink()
                if not all(hello(host) for _ in range(20)):
                    wrong.append("with room again, the neighbour is not served")
                status, text = host.admin("POST", "/apps", app("other", source))
                if status != 200:
                    wrong.append(f"with room again: {status} {text[:80]}")
                good = not wrong and (SHORT or within(beside, alone))
                table.row("the disk is full", "serves on, or says why; deploys too; all is well with room", "; ".join(wrong) or "as expected", f"{alone:.1f}", f"{beside:.1f}", good=good)
        finally:
            subprocess.run(["umount", str(mounted)], check=False)


def clock_set_back(table, built, alone):
    """A host whose clock is set back by a minute while it serves: what counts time is the clock that nobody sets."""
    apps = [app("neighbour", built, isolation="reuse"), app("sleeper", GUESTS / "behaviours.wasm", check="/hello", limits='head_timeout = "1s"')]
    with Host(PROGRAM, apps, host="workers = 2") as host:
        neighbour = Neighbour(host.port)
        real = time.clock_gettime(time.CLOCK_REALTIME)
        began = time.monotonic()
        try:
            time.clock_settime(time.CLOCK_REALTIME, real - 60)
            status, _ = host.get("sleeper", "/sleep-in-call/60")
            took = time.monotonic() - began
            time.sleep(2)
        finally:
            time.clock_settime(time.CLOCK_REALTIME, real + time.monotonic() - began)
        beside = neighbour.stop().p99()
        wrong = []
        if status != 504 or not 0.9 < took < 5:
            wrong.append(f"a limit of 1 s ended {status} after {took:.1f} s")
        if neighbour.bad:
            wrong.append(f"the neighbour got {neighbour.bad[:2]}")
        good = not wrong and (SHORT or within(beside, alone))
        table.row("the clock is set back by a minute", "nothing is noticed; limits hold", "; ".join(wrong) or "as expected", f"{alone:.1f}", f"{beside:.1f}", good=good)


def main():
    table = Table(("fault", 38), ("expected", 52), ("seen", 60), ("alone ms", 8), ("beside ms", 9))
    with tempfile.TemporaryDirectory() as folder:
        built = build(PROGRAM, ROOT / "tests/tenants/neighbour", pathlib.Path(folder) / "hello.wasm")
        apps = [app("neighbour", built, isolation="reuse"), app("other", GUESTS / "behaviours.wasm", check="/hello")]
        with Host(PROGRAM, apps, host="workers = 2") as host:
            quiet = Neighbour(host.port)
            time.sleep(SECONDS)
            alone = quiet.stop().p99()
            table.row("(nothing)", "", "", f"{alone:.1f}", "")
            for name, expected, fault, lost in CASES:
                if ONLY and not any(word in name for word in ONLY):
                    continue
                neighbour = Neighbour(host.port)
                time.sleep(0.5)
                wrong = fault(host)
                bad = neighbour.stop().bad
                if not wrong and lost is not None and len(bad) > lost:
                    wrong = f"the neighbour got {len(bad)} times {bad[0]}"
                # Beside a fault that takes its worker away a request is late; how late is told.
                table.row(name, expected, wrong or "as expected", f"{alone:.1f}", f"{neighbour.p99():.1f}", good=not wrong)
        if not ONLY or "disk" in ONLY:
            full_disk(table, built, alone)
        if not ONLY or "clock" in ONLY:
            clock_set_back(table, built, alone)
    table.end("make faults")


main()

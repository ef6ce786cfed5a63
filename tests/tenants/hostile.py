"""Every hostile guest and client of design/sandbox.md beside a neighbour that behaves, on the same workers.

Usage: python3 tests/tenants/hostile.py PROGRAM GUESTS [--short] [CASE...]. Prints for each case what was expected and seen, and the neighbour's p99 alone and
beside it. The neighbour (Python, reused, 50 requests/s) is measured alone before and after all cases; the bound is the larger of twice its
p99 alone, and that plus 50 ms. Its longest wait is stated, and what the machine was without a processor meanwhile, because a hypervisor had given it
to another (`steal`): such a pause is in every time of that case. With --short each case takes a second, and times are printed and not judged: a machine that tests something else beside
has no times of its own.
"""

import contextlib
import http.client
import io
import os
import pathlib
import random
import socket
import struct
import sys
import tarfile
import threading
import time

from harness import Host, Neighbour, Table, ROOT, app, ask, build, memory, open_files, opened, tenant, wait_for, within

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
SHORT = "--short" in sys.argv
ONLY = [word for word in sys.argv[3:] if word != "--short"]
# Of four hundred requests four are slower than the 99th in a hundred: one pause of the machine is not all of them.
SECONDS = 1 if SHORT else 8
# What an allocator keeps of what it once had.
KEPT_BYTES = 64 << 20
ATTACKERS = 8
# The default of --max-peer-connections.
PEER_CONNECTIONS = 256
LIMITS = 'guest_cpu = "200ms"\nstart_cpu = "200ms"\nhead_timeout = "3s"\nprogress_timeout = "3s"\nclose_grace = "300ms"\nmax_traps = 1000000\nmemory = "256MiB"'


class Case:
    """What is asked of a hostile tenant again and again, and what has to come of it."""

    def __init__(self, name, path, status, outcome, log=None, *, tenant="hostile", whole=None, attack=None, stalls=False, fields=None, attackers=ATTACKERS):
        self.name, self.path, self.status, self.outcome, self.log = name, path, status, outcome, log
        self.tenant, self.whole, self.attack, self.fields = tenant, whole, attack, fields or {}
        self.attackers = attackers
        # One instruction that cannot be stopped: what it makes others wait is stated, not bounded.
        self.stalls = stalls


def raw(host, request, *, read=True, wait=0.0):
    """Sends bytes, and reads at most a mebibyte."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(request)
        time.sleep(wait)
        answer = bytearray()
        while read and len(answer) < 1 << 20:
            piece = stream.recv(1 << 16)
            if not piece:
                break
            answer += piece
        status = answer.split(b" ", 2)[1:2]
        return (int(status[0]) if status else None), answer
    return None, b""


def head(path="/hello", tenant="hostile", method="GET", fields=""):
    return f"{method} {path} HTTP/1.1\r\nHost: {tenant}.test\r\nConnection: close\r\n{fields}\r\n".encode()


def slow_reader(host):
    """Asks for much, takes little, and leaves."""
    with contextlib.suppress(OSError), socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.settimeout(60)
        stream.connect(("127.0.0.1", host.port))
        stream.sendall(head("/endless", tenant="patient"))
        # Half of what it has to take in a second, until it is broken off.
        with contextlib.suppress(ConnectionResetError):
            while stream.recv(64):
                time.sleep(0.125)
            return "ended in order", b""
        return "broken off", b""
    return None, b""


def slow_writer(host):
    """Says that much comes, and sends little."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(head("/count", method="POST", fields="Content-Length: 1000000\r\n"))
        stream.settimeout(0.1)
        answer = b""
        while b"\r\n" not in answer:
            try:
                piece = stream.recv(4096)
            except TimeoutError:
                stream.sendall(b"x")
                continue
            if not piece:
                return "closed without an answer", b""
            answer += piece
        return int(answer.split(b" ", 2)[1]), b""
    return None, b""


def gone(stream):
    """Closed now, the connection ends in a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def leaves_in_the_queue(host):
    """Is gone while it waits for a place."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(head("/sleep-in-call/60", tenant="queued"))
        time.sleep(0.05)
        gone(stream)
    return None, b""


def leaves_late(host):
    """Is gone while close() runs."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(head("/slow-close"))
        stream.recv(1000)
        gone(stream)
    return None, b""


def stops_reading(host):
    """Asks for much, and takes nothing until it is left."""
    with contextlib.suppress(OSError), socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.settimeout(20)
        stream.connect(("127.0.0.1", host.port))
        stream.sendall(head("/endless"))
        stream.recv(512)
        # The limit of progress is three seconds.
        time.sleep(5)
        while stream.recv(1 << 16):
            pass
    return None, b""


def leaves(host):
    """Is gone at every stage: before the head is whole, behind it, in the body, in the answer, with a reset."""
    request = head("/slow", method="POST", fields="Content-Length: 10\r\n") + b"12345"
    for end in (5, len(request) // 2, len(request) - 6, len(request)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
            stream.sendall(request[:end])
            gone(stream)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(head("/endless"))
        stream.recv(1000)
    return None, b""


def idle(host):
    """Opens more connections than an address may have, and says nothing: how many are closed at once, before the head is late."""
    closed = 0
    with contextlib.ExitStack() as streams:
        # From another address: the neighbour's clients have this one's share of connections.
        opened = [streams.enter_context(socket.create_connection(("127.0.0.1", host.port), timeout=10, source_address=("127.0.0.2", 0))) for _ in range(300)]
        time.sleep(1)
        for stream in opened:
            stream.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                closed += stream.recv(1) == b""
    # Nobody else comes from there before the host knows that they have gone.
    wait_for(lambda: host.metric("wasgi_connections") < PEER_CONNECTIONS)
    return ("as many as are too many" if closed == len(opened) - PEER_CONNECTIONS else f"{closed} of {len(opened)}"), b""


CASES = [
    Case("loop in call", "/loop-in-call", 504, "cpu_limit", "its CPU limit is used up"),
    Case("loop in next", "/loop-in-next", 504, "cpu_limit", "its CPU limit is used up"),
    Case("loop behind the first chunk", "/loop-after-first", 200, "cpu_limit", "its CPU limit is used up", whole=False),
    Case("loop in close", "/loop-in-close", 200, "wall_limit", "its time is up", whole=True),
    Case("sleep in a host call", "/sleep-in-call/60", 504, "wall_limit", "its time is up"),
    Case("sleep in next", "/sleep-in-next/60", 200, "wall_limit", "its time is up", whole=False),
    Case("sleep in close", "/sleep-in-close", 200, "wall_limit", "its time is up", whole=True),
    Case("memory, many small", "/grow-memory/100000", (200, 500), "ok", None, whole=True, tenant="roomy"),
    Case("memory, one huge", "/huge-allocation", 500, "memory_limit", "its memory limit is reached"),
    Case("memory of all instances", "/grow-memory/200", (200, 500), "ok", None, tenant="crowded", whole=True),
    Case("memory.fill in a loop", "/fill/100", 504, "cpu_limit", "its CPU limit is used up", stalls=True),
    Case("memory, in a table", "/", 200, "ok", None, tenant="tables", whole=True),
    Case("allocates, and traps", "/allocate-and-trap/200", 500, "trap", "it trapped"),
    Case("recursion without end", "/recursion", 500, "trap", "it trapped"),
    Case("unreachable in call", "/trap-in-call", 500, "trap", "it trapped"),
    Case("unreachable in next", "/trap-in-next", 500, "trap", "it trapped"),
    Case("unreachable behind the first", "/trap-after-first", 200, "trap", "it trapped", whole=False),
    Case("unreachable in close", "/trap-in-close", 200, "trap", "it trapped", whole=True),
    Case("a trap in the 8 607th request", "/behaves/8606", (200, 500), "ok", None, tenant="reused", attack=lambda host: behaves(host, 8_606), attackers=2),
    Case("10 million header fields", "/many-headers/10000000", (500, 504), "memory_limit", "its memory limit is reached"),
    Case("a header field of 100 MiB", "/huge-header/104857600", (500, 504), None, None, stalls=True),
    Case("CR and LF in a field", "/header/crlf", 200, "exception", None),
    Case("NUL in a field", "/header/nul", 200, "exception", None),
    Case("text that is not latin-1", "/header/euro", 200, "exception", None),
    Case("status 1000 Odd", "/status", 200, "exception", None, fields={"X-Status": "1000 Odd"}),
    Case("status 103 as the final one", "/status", 200, "exception", None, fields={"X-Status": "103 Early Hints"}),
    Case("an empty status", "/status", 200, "exception", None),
    Case("start_response after the head", "/exc-info-after", 200, "exception", None, whole=False),
    Case("start_response twice", "/start-twice", (200, 500), "exception", None),
    Case("start_response never", "/never-start", 500, "app_error", "without calling start_response"),
    Case("endless body", None, None, "client_gone", None, attack=lambda host: raw(host, head("/endless"))),
    Case("empty chunks for ever", "/empty-chunks-for-ever", 504, "cpu_limit", "its CPU limit is used up"),
    Case("a chunk of more than 1 MiB", "/?1048577", 500, "trap", "above the limit", tenant="chunky"),
    Case("a chunk of 1 GiB", "/?1073741824", 500, "memory_limit", "its memory limit is reached", tenant="chunky"),
    Case("body shorter than its length", "/declared/8", 200, "app_error", "shorter than its Content-Length", whole=False),
    Case("body longer than its length", "/declared-and-more/8", 200, "app_error", "longer than its Content-Length", whole=True),
    Case("log flood", "/log-flood/100000", (200, 500, 504), None, "were dropped"),
    Case("escapes in the log", "/log-escapes", 200, "ok", "\\\\u{1b}[31mred"),
    Case("HTML in the log", "/log-html", 200, "ok", "<script>alert(1)</script>"),
    Case("handles never dropped", "/handles/1000000", 500, "trap", "it trapped"),
    Case("listings never closed", "/tmp-listings/1000000", 200, "ok", None),
    Case("files in /tmp without end", "/tmp-files/1000000", (200, 504), "ok", None),
    Case("/tmp filled", "/tmp/4096", (200, 504), None, None),
    Case("environment, files, network", "/host", 200, "ok", None),
    Case("a client that is gone", None, None, "client_gone", None, attack=leaves),
    Case("a client that is gone while it waits", None, None, "client_gone", None, attack=leaves_in_the_queue, tenant="queued"),
    Case("a client that is gone in close", None, None, "wall_limit", None, attack=leaves_late),
    Case("a client that stops reading", None, None, "client_gone", None, attack=stops_reading),
    Case("a slow reader", None, "broken off", "client_gone", None, attack=slow_reader, tenant="patient"),
    Case("a slow writer", None, 408, "protocol_error", None, attack=slow_writer),
    Case("idle connections", None, "as many as are too many", None, None, attack=idle, attackers=1),
    Case("Python: a regular expression", "/regex", 504, "cpu_limit", "its CPU limit is used up", tenant="snake"),
    Case("Python: recursion", "/recursion", (500, 504), None, None, tenant="snake"),
    Case("Python: memory", "/memory", 500, "exception", "MemoryError", tenant="snake"),
    Case("Python: catches everything", "/catches", 504, "cpu_limit", "its CPU limit is used up", tenant="snake"),
    Case("Python: a generator of nothing", "/nothing", (200, 504), "cpu_limit", "its CPU limit is used up", tenant="snake"),
    Case("Python: sleeps", "/sleep", 504, "wall_limit", "its time is up", tenant="snake"),
    Case("many that wait for a place", "/sleep-in-call/60", (503, 504), "queue_full", None, tenant="queued", attackers=40),
]


def behaves(host, times):
    """One instance, asked again and again over one connection, until it traps; it must have answered so often before."""
    connection, answered = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30), 0
    with contextlib.closing(connection):
        while True:
            try:
                connection.request("GET", f"/behaves/{times}", headers={"Host": "reused.test"})
                reply = connection.getresponse()
                reply.read()
            except (http.client.HTTPException, OSError):
                return None, b""
            if reply.status != 200:
                return reply.status, None
            answered += 1
            if answered > 2 * times:
                return 200, b"it never trapped"


def attacked(host, case, seconds):
    """Asks again and again; the answers."""
    answers, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def attacker():
        # A client is another machine: here it gives way to who serves, and to the neighbour.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while time.monotonic() < end:
            if case.attack:
                answer = case.attack(host)
            else:
                answer = ask(host.port, case.tenant, case.path, **case.fields)
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=attacker) for _ in range(case.attackers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def outcomes(host, name):
    return host.tenants()[name]["apps"][0].get("requests", {})


def judge(host, case, answers, before, logged, heard, neighbour):
    """What is wrong, nothing if all is well; and how the requests ended."""
    wrong = []
    expected = case.status if isinstance(case.status, tuple) else (case.status,)
    statuses = {status for status, _ in answers}
    # A place that another of them has may be waited for in vain.
    busy = {503} if len(answers) > ATTACKERS else set()
    if case.status and not (statuses & set(expected) and statuses <= set(expected) | busy | {500, 504} & (set(expected) | ({500} if case.outcome == "trap" else set()))):
        wrong.append(f"statuses {sorted(map(str, statuses))}")
    if case.whole is False and any(body is not None for status, body in answers if status == 200):
        wrong.append("a response that looked whole")
    if case.whole is True and any(body is None for status, body in answers if status == 200):
        wrong.append("a response that was broken off")
    after = host.settle(case.tenant)
    if not after:
        return [*wrong, "requests that never ended"], {}
    counted = {name: count - before.get(name, 0) for name, count in after["apps"][0].get("requests", {}).items()}
    counted = {name: count for name, count in counted.items() if count}
    if case.outcome and not counted.get(case.outcome):
        wrong.append(f"outcomes {counted}")
    lines = [line for line in host.logged()[heard:].splitlines() if '"ERROR"' in line or "host_error" in line]
    if counted.get("host_error") or host.tenants()["neighbour"]["apps"][0].get("requests", {}).get("host_error"):
        wrong.append(f"a fault of the host's own: {lines[:2]}")
    if "panicked" in host.logged()[heard:]:
        wrong.append("a panic of the host")
    # Whoever has had its answer does not wait for the instance's memory to go.
    at_rest = wait_for(lambda: (lambda now: now if now["instances"] == now["idle"] else None)(host.tenants()[case.tenant]), 5)
    after = at_rest or after
    if not at_rest:
        wrong.append(f"{after['instances'] - after['idle']} instances are left")
    if not after["idle"] and after["memory_bytes"]:
        wrong.append(f"{after['memory_bytes']} bytes are left")
    # Of this case, and not of one before it.
    if case.log and not wait_for(lambda: case.log in host.tenant_log(case.tenant, logged), 5):
        said = host.tenant_log(case.tenant, logged)
        wrong.append(f"the tenant's log does not say why: {len(said)} characters in all, at the end {said[-400:]!r}")
    if neighbour.bad:
        wrong.append(f"the neighbour got {neighbour.bad[:3]}")
    return wrong, counted


def refused_files(folder):
    """Files that are no application: each with what its refusal says."""
    whole = (GUESTS / "behaviours.wasm").read_bytes()
    files = {
        "a loop at instantiation": ((GUESTS / "examples/at_start.wasm").read_bytes(), "its CPU limit is used up"),
        "a core module": (b"\0asm\x01\0\0\0", "a core WebAssembly module"),
        "a truncated file": (whole[: len(whole) // 2], "cut short or damaged"),
        "random bytes": (random.Random(1).randbytes(1 << 16), "no WebAssembly file"),
        "another world": (b"\0asm\x0d\0\x01\0", "this is no component for the world"),
        "90 MiB of nops": (nops(15, 6 << 20), "this is no component for the world"),
        "a zip bomb of a bundle": (whole + section("wasgi:bundle", bomb()), "bundle"),
        "`..` in a bundle": (whole + section("wasgi:bundle", packed("../../etc/owned")), "bundle"),
        "an absolute path in a bundle": (whole + section("wasgi:bundle", packed("/etc/owned")), "bundle"),
    }
    for name, (content, says) in files.items():
        file = folder / "refused.wasm"
        file.write_bytes(content)
        yield name, file, says


def leb(number):
    out = bytearray()
    while True:
        byte = number & 0x7F
        number >>= 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def section(name, content):
    body = leb(len(name)) + name.encode() + content
    return b"\0" + leb(len(body)) + body


def nops(functions, size):
    """A component of one core module, whose functions do nothing, for long: each as large as a function may be."""
    body = b"\0" + b"\x01" * size + b"\x0b"
    code = leb(functions) + (leb(len(body)) + body) * functions
    types, indices = b"\x01\x04\x01\x60\0\0", b"\x03" + leb(functions + 1) + leb(functions) + b"\0" * functions
    module = b"\0asm\x01\0\0\0" + types + indices + b"\x0a" + leb(len(code)) + code
    return b"\0asm\x0d\0\x01\0" + b"\x01" + leb(len(module)) + module


def packed(name, content=b"x"):
    import subprocess

    space = io.BytesIO()
    with tarfile.open(fileobj=space, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return subprocess.run(["zstd", "-q", "-19", "-c"], input=space.getvalue(), capture_output=True, check=True).stdout


def bomb():
    return packed("0/zeroes", bytes(1 << 30))


def main():
    table = Table(("case", 30), ("expected", 26), ("seen", 44), ("alone ms", 8), ("beside ms", 9), ("longest", 7), ("stolen", 6))
    behaviours = GUESTS / "behaviours.wasm"
    import tempfile

    with tempfile.TemporaryDirectory() as built:
        hello = build(PROGRAM, ROOT / "tests/tenants/neighbour", pathlib.Path(built) / "hello.wasm")
        snake = build(PROGRAM, ROOT / "tests/tenants/snakes", pathlib.Path(built) / "snake.wasm")
        tables = build(PROGRAM, ROOT / "tests/tenants/tables", pathlib.Path(built) / "tables.wasm")
        apps = [
            app("neighbour", hello, isolation="reuse", limits='reuse_idle = "2s"'),
            app("hostile", behaviours, limits=LIMITS, check="/hello"),
            app("snake", snake, limits=LIMITS, check="/"),
            app("tables", tables, limits=LIMITS),
            app("reused", behaviours, limits=f'{LIMITS}\nreuse_requests = 100000', check="/hello", isolation="reuse"),
            app("roomy", behaviours, limits='guest_cpu = "10s"\nhead_timeout = "60s"\nmax_traps = 1000000', check="/hello"),
            # It may take nothing for long: what ends it is its rate.
            app("patient", behaviours, limits=LIMITS.replace('progress_timeout = "3s"', 'progress_timeout = "30s"'), check="/hello"),
            app("chunky", GUESTS / "examples/raw_chunk.wasm", limits=LIMITS, check="/?1"),
            tenant("crowded", 'tenant_memory = "512MiB"'),
            app("crowded", behaviours, limits=LIMITS, check="/hello"),
            tenant("queued", 'concurrency = 4\nqueue = 8\nqueue_timeout = "500ms"'),
            app("queued", behaviours, limits=LIMITS, check="/hello"),
        ]
        with Host(PROGRAM, apps, host="workers = 2") as host:
            # Both workers have the code of all of them, and what they open once for each: more than that is left over.
            for name in host.tenants():
                for _ in range(8):
                    ask(host.port, name, "/hello")

            def alone():
                neighbour = Neighbour(host.port)
                time.sleep(SECONDS)
                return neighbour.stop()

            def waits(neighbour):
                """What the neighbour's times are, as cells."""
                return f"{neighbour.p99():.1f}", f"{neighbour.longest():.0f}", neighbour.stolen

            alone()
            first = alone()
            quiet = first.p99()
            table.row("(nothing)", "", "", f"{quiet:.1f}", "", *waits(first)[1:])
            wait_for(lambda: all(one["instances"] == 0 for one in host.tenants().values()), 30)
            before_all = [(pid, memory(pid)[1], open_files(pid)) for pid in host.workers()]
            for case in CASES:
                if ONLY and not any(word in case.name for word in ONLY):
                    continue
                before, logged, heard = outcomes(host, case.tenant), host.log_mark(case.tenant), len(host.logged())
                neighbour = Neighbour(host.port)
                time.sleep(0.5)
                answers = attacked(host, case, SECONDS)
                beside = neighbour.stop().p99()
                wrong, counted = judge(host, case, answers, before, logged, heard, neighbour)
                if not SHORT and not within(beside, quiet) and not case.stalls:
                    wrong.append("the neighbour waits too long")
                seen = "; ".join(wrong) if wrong else ", ".join(f"{count} {outcome}" for outcome, count in counted.items()) or f"{len(answers)} times nothing"
                if case.stalls:
                    seen += "; its wait is stated"
                expected = f"{case.status or 'nothing'}, {case.outcome or 'refused by its rule'}"
                table.row(case.name, expected, seen, f"{quiet:.1f}", *waits(neighbour), good=not wrong)
            for name, file, says in refused_files(host.folder):
                if ONLY and name not in ONLY:
                    continue
                neighbour, began = Neighbour(host.port), time.monotonic()
                status, text = host.admin("POST", "/apps", app("new", file, limits=LIMITS))
                # As long as beside the others: of few requests the slowest is their p99.
                time.sleep(max(0, SECONDS - (time.monotonic() - began)))
                beside = neighbour.stop().p99()
                good = status == 422 and says in text and not neighbour.bad and (SHORT or within(beside, quiet))
                said = text.strip().splitlines()[0].split("/apps/")[-1] if text.strip() else "nothing"
                table.row(name, "not deployed, and says why", said, f"{quiet:.1f}", *waits(neighbour), good=good)
            again = alone()
            table.row("(nothing, again)", "", "", f"{again.p99():.1f}", "", *waits(again)[1:], good=SHORT or within(again.p99(), quiet))
            # What idles goes within a few seconds.
            wait_for(lambda: all(one["instances"] == 0 for one in host.tenants().values()), 30)
            same = [pid for pid, *_ in before_all] == host.workers()
            table.row("workers", "none has died", "none has" if same else "one has", "", "", good=same)
            more = [memory(pid)[1] - private for pid, private, _ in before_all] if same else []
            said = "MiB more: " + ", ".join(f"{bytes / 2**20:.0f}" for bytes in more)
            table.row("private memory of the workers", "as before, within 64 MiB", said, "", "", good=same and all(each <= KEPT_BYTES for each in more))
            left = [open_files(pid) - files for pid, _, files in before_all] if same else []
            if any(more > 16 for more in left):
                print("\n".join(f"{pid}: {', '.join(sorted(opened(pid)))}" for pid, *_ in before_all))
            table.row("open files of the workers", "as before, within 16", str(left), "", "", good=same and all(more <= 16 for more in left))
    table.end("make hostile")


main()

"""Every hostile guest and client of design/sandbox.md beside a neighbour that behaves, on the same workers.

Usage: python3 tests/tenants/hostile.py PROGRAM GUESTS [CASE...]. Prints for each case what was expected and seen, and the neighbour's p99 alone and
beside it. The neighbour (Python, reused, 50 requests/s) is measured alone before and after all cases; the bound is the larger of twice its
p99 alone, and that plus 50 ms.
"""

import contextlib
import io
import pathlib
import socket
import struct
import sys
import tarfile
import threading
import time

from harness import Host, Neighbour, Table, ROOT, app, ask, build, free_port, memory, open_files, tenant, within

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
ONLY = sys.argv[3:]
SECONDS = 4
ATTACKERS = 8
LIMITS = 'guest_cpu = "200ms"\nstart_cpu = "200ms"\nhead_timeout = "3s"\nprogress_timeout = "3s"\nclose_grace = "300ms"\nmax_traps = 1000000\nmemory = "256MiB"'


class Case:
    """What is asked of a hostile tenant again and again, and what has to come of it."""

    def __init__(self, name, path, status, outcome, log=None, *, tenant="hostile", whole=None, attack=None, stalls=False, fields=None):
        self.name, self.path, self.status, self.outcome, self.log = name, path, status, outcome, log
        self.tenant, self.whole, self.attack, self.fields = tenant, whole, attack, fields or {}
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
        stream.settimeout(10)
        stream.connect(("127.0.0.1", host.port))
        stream.sendall(head("/endless"))
        for _ in range(20):
            stream.recv(512)
            time.sleep(0.1)
    return None, b""


def slow_writer(host):
    """Says that much comes, and sends little."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(head("/count", method="POST", fields="Content-Length: 1000000\r\n"))
        for _ in range(20):
            stream.sendall(b"x")
            time.sleep(0.1)
    return None, b""


def leaves(host):
    """Is gone at every stage: before the head is whole, behind it, in the body, in the answer, with a reset."""
    request = head("/slow", method="POST", fields="Content-Length: 10\r\n") + b"12345"
    for end in (5, len(request) // 2, len(request) - 6, len(request)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
            stream.sendall(request[:end])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), timeout=10) as stream:
        stream.sendall(head("/endless"))
        stream.recv(1000)
    return None, b""


def idle(host):
    """Opens connections, and says nothing."""
    streams = []
    with contextlib.suppress(OSError):
        for _ in range(50):
            # From another address: the neighbour's clients have this one's share of connections.
            streams.append(socket.create_connection(("127.0.0.1", host.port), timeout=10, source_address=("127.0.0.2", 0)))
    time.sleep(1)
    for stream in streams:
        stream.close()
    return None, b""


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
    Case("recursion without end", "/recursion", 500, "trap", "it trapped"),
    Case("unreachable in call", "/trap-in-call", 500, "trap", "it trapped"),
    Case("unreachable in next", "/trap-in-next", 500, "trap", "it trapped"),
    Case("unreachable behind the first", "/trap-after-first", 200, "trap", "it trapped", whole=False),
    Case("unreachable in close", "/trap-in-close", 200, "trap", "it trapped", whole=True),
    Case("a trap in the 901st request", "/behaves/900", 200, "trap", "it trapped", tenant="reused"),
    Case("10 million header fields", "/many-headers/10000000", 500, None, None),
    Case("a header field of 100 MiB", "/huge-header/104857600", (200, 500), None, None, stalls=True),
    Case("CR and LF in a field", "/header/crlf", 200, "exception", None),
    Case("NUL in a field", "/header/nul", 200, "exception", None),
    Case("text that is not latin-1", "/header/euro", 200, "exception", None),
    Case("status 1000 Odd", "/status", 200, "exception", None, fields={"X-Status": "1000 Odd"}),
    Case("status 103 as the final one", "/status", 200, "exception", None, fields={"X-Status": "103 Early Hints"}),
    Case("an empty status", "/status", 200, "exception", None),
    Case("start_response twice", "/start-twice", (200, 500), None, None),
    Case("start_response never", "/never-start", 500, "app_error", "without calling start_response"),
    Case("endless body", None, None, "client_gone", None, attack=lambda host: raw(host, head("/endless"))),
    Case("empty chunks for ever", "/empty-chunks-for-ever", 504, "cpu_limit", "its CPU limit is used up"),
    Case("a chunk of more than 1 MiB", "/?1048577", 500, "trap", "above the limit", tenant="chunky"),
    Case("body longer than its length", "/declared-and-more/8", 200, "app_error", "longer than its Content-Length", whole=True),
    Case("log flood", "/log-flood/100000", (200, 500, 504), None, "were dropped"),
    Case("escapes in the log", "/log-escapes", 200, "ok", "\\\\u{1b}[31mred"),
    Case("handles never dropped", "/handles/1000000", (200, 500), None, None),
    Case("listings never closed", "/tmp-listings/1000000", 200, "ok", None),
    Case("files in /tmp without end", "/tmp-files/1000000", 200, "ok", None),
    Case("/tmp filled", "/tmp/4096", (200, 504), None, None),
    Case("environment, files, network", "/host", 200, "ok", None),
    Case("a client that is gone", None, None, "client_gone", None, attack=leaves),
    Case("a slow reader", None, None, None, None, attack=slow_reader),
    Case("a slow writer", None, None, None, None, attack=slow_writer),
    Case("idle connections", None, None, None, None, attack=idle),
    Case("many that wait for a place", "/sleep-in-call/60", (503, 504), None, None, tenant="queued"),
]


def attacked(host, case, seconds):
    """Asks again and again; the answers."""
    answers, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def attacker():
        while time.monotonic() < end:
            if case.attack:
                answer = case.attack(host)
            else:
                answer = ask(host.port, case.tenant, case.path, **case.fields)
            with lock:
                answers.append(answer)

    count = 40 if case.tenant == "queued" else ATTACKERS
    threads = [threading.Thread(target=attacker) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def outcomes(host, name):
    return host.tenants()[name]["apps"][0].get("requests", {})


def judge(host, case, answers, before, neighbour):
    """What is wrong; nothing if all is well."""
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
        return [*wrong, "requests that never ended"]
    counted = {name: count - before.get(name, 0) for name, count in after["apps"][0].get("requests", {}).items()}
    if case.outcome and not counted.get(case.outcome):
        wrong.append(f"outcomes {counted}")
    if after["instances"] != after["idle"]:
        wrong.append(f"{after['instances'] - after['idle']} instances are left")
    if not after["idle"] and after["memory_bytes"]:
        wrong.append(f"{after['memory_bytes']} bytes are left")
    if case.log and case.log not in host.tenant_log(case.tenant):
        wrong.append("the tenant's log does not say why")
    if neighbour.bad:
        wrong.append(f"the neighbour got {neighbour.bad[:3]}")
    return wrong


def refused_files(folder):
    """Files that are no application: each with what its refusal says."""
    whole = (GUESTS / "behaviours.wasm").read_bytes()
    files = {
        "a loop at instantiation": ((GUESTS / "examples/at_start.wasm").read_bytes(), "its CPU limit is used up"),
        "a core module": (b"\0asm\x01\0\0\0", "module"),
        "a truncated file": (whole[: len(whole) // 2], ""),
        "random bytes": (bytes(range(256)) * 64, ""),
        "another world": (b"\0asm\x0d\0\x01\0", "this is no component for the world"),
        "100 MiB of nops": (nops(100 << 20), ""),
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


def nops(size):
    """A component of one core module, whose one function does nothing, for long."""
    body = b"\0" + b"\x01" * size + b"\x0b"
    code = leb(1) + leb(len(body)) + body
    module = b"\0asm\x01\0\0\0" + b"\x01\x04\x01\x60\0\0" + b"\x03\x02\x01\0" + b"\x0a" + leb(len(code)) + code
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
    table = Table(("case", 30), ("expected", 26), ("seen", 44), ("alone ms", 8), ("beside ms", 9))
    behaviours = GUESTS / "behaviours.wasm"
    import tempfile

    with tempfile.TemporaryDirectory() as built:
        hello = build(PROGRAM, ROOT / "tests/tenants/neighbour", pathlib.Path(built) / "hello.wasm")
        apps = [
            app("neighbour", hello, isolation="reuse"),
            app("hostile", behaviours, limits=LIMITS, check="/hello"),
            app("reused", behaviours, limits=LIMITS, check="/hello", isolation="reuse"),
            app("roomy", behaviours, limits='guest_cpu = "10s"\nhead_timeout = "60s"\nmax_traps = 1000000', check="/hello"),
            app("chunky", GUESTS / "examples/raw_chunk.wasm", limits=LIMITS, check="/?1"),
            tenant("crowded", 'tenant_memory = "512MiB"'),
            app("crowded", behaviours, limits=LIMITS, check="/hello"),
            tenant("queued", 'concurrency = 4\nqueue = 8\nqueue_timeout = "500ms"'),
            app("queued", behaviours, limits=LIMITS, check="/hello"),
        ]
        with Host(PROGRAM, apps, host="workers = 2") as host:
            ask(host.port, "neighbour")

            def alone():
                neighbour = Neighbour(host.port)
                time.sleep(SECONDS)
                return neighbour.stop().p99()

            alone()
            quiet = alone()
            table.row("(nothing)", "", "", f"{quiet:.1f}", "")
            before_all = [(pid, memory(pid)[1], open_files(pid)) for pid in host.workers()]
            for case in CASES:
                if ONLY and not any(word in case.name for word in ONLY):
                    continue
                before = outcomes(host, case.tenant)
                neighbour = Neighbour(host.port)
                time.sleep(0.5)
                answers = attacked(host, case, SECONDS)
                beside = neighbour.stop().p99()
                wrong = judge(host, case, answers, before, neighbour)
                if not within(beside, quiet) and not case.stalls:
                    wrong.append("the neighbour waits too long")
                seen = "; ".join(wrong) if wrong else f"{len(answers)} times, as expected"
                if case.stalls:
                    seen += f"; longest wait {max(took for _, took in neighbour.times):.0f} ms"
                expected = f"{case.status or 'nothing'}, {case.outcome or 'refused by its rule'}"
                table.row(case.name, expected, seen, f"{quiet:.1f}", f"{beside:.1f}", good=not wrong)
            for name, file, says in refused_files(host.folder):
                if ONLY and name not in ONLY:
                    continue
                neighbour = Neighbour(host.port)
                status, text = host.admin("POST", "/apps", app("new", file, limits=LIMITS))
                beside = neighbour.stop().p99()
                good = status == 422 and says in text and not neighbour.bad and within(beside, quiet)
                said = text.strip().splitlines()[0].split("/apps/")[-1] if text.strip() else "nothing"
                table.row(name, "not deployed, and says why", said, f"{quiet:.1f}", f"{beside:.1f}", good=good)
            again = alone()
            table.row("(nothing, again)", "", "", f"{again:.1f}", "", good=within(again, quiet))
            same = [pid for pid, *_ in before_all] == host.workers()
            table.row("workers", "none has died", "none has" if same else "one has", "", "", good=same)
            left = [open_files(pid) - files for pid, _, files in before_all] if same else []
            table.row("open files of the workers", "as before, within 16", str(left), "", "", good=same and all(more <= 16 for more in left))
    table.end("make hostile")


main()

"""Deploys an application again and again under load, by every way there is, and counts the requests that failed: there must be none.

Usage: python3 tests/tenants/deploys.py PROGRAM GUESTS [SECONDS]. The load is wrk's, on connections that are kept, and a client's that makes a new
connection for each request.
"""

import contextlib
import http.client
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from harness import Host, Table, app, ask, build, wait_for

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 20
SCRIPT = pathlib.Path(__file__).parent / "count.lua"


def versions(folder):
    """Two built files that differ: the same application with a section more."""
    one = folder / "one.wasm"
    one.write_bytes((GUESTS / "behaviours.wasm").read_bytes())
    two = folder / "two.wasm"
    # A custom section of a component: id 0, its length, its name, its content.
    two.write_bytes(one.read_bytes() + b"\x00\x05\x03twox")
    return one, two


def main():
    table = Table(("what", 34), ("changes", 8), ("wrk: requests", 14), ("failed", 7), ("new connections", 16), ("failed", 7))
    watched = pathlib.Path(tempfile.mkdtemp(prefix="wasgi-watched-"))
    watch = f'[watch]\nfolder = "{watched}"\ndomain = "watched.test"'
    first = [app("blog", GUESTS / "behaviours.wasm", check="/hello")]
    with Host(PROGRAM, first, host="workers = 2\nstop_grace = \"10s\"", extra=watch) as host:
        one, two = versions(host.folder)
        broken = host.folder / "broken.wasm"
        broken.write_bytes(b"\0asm nothing")
        asked = {"count": 0, "failed": 0}
        ended = threading.Event()

        def client():
            while not ended.is_set():
                status, body = ask(host.port, "blog", "/hello")
                asked["count"] += 1
                asked["failed"] += (status, body) != (200, b"hello\n")

        def under_load(what, change):
            asked.update(count=0, failed=0)
            ended.clear()
            thread = threading.Thread(target=client)
            command = ["wrk", "-t1", "-c8", f"-d{SECONDS}s", "-H", "Host: blog.test", "-s", str(SCRIPT), f"http://127.0.0.1:{host.port}/hello"]
            wrk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            thread.start()
            changes, end = 0, time.monotonic() + SECONDS - 2
            while time.monotonic() < end:
                change(changes)
                changes += 1
            said = wrk.communicate(timeout=SECONDS + 60)[0]
            ended.set()
            thread.join()
            requests = int(re.search(r"(\d+) requests in", said).group(1))
            errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
            failed = sum(map(int, errors.groups())) if errors else 0
            failed += int(re.search(r"not hello: (\d+)", said).group(1))
            good = changes > 0 and requests > 0 and asked["count"] > 0 and failed == asked["failed"] == 0
            table.row(what, changes, requests, failed, asked["count"], asked["failed"], good=good)

        def reload(number):
            host.configure([app("blog", (two, one)[number % 2], check="/hello")])
            before = host.tenants()["blog"]["apps"][0]["version"]
            host.process.send_signal(signal.SIGHUP)
            assert wait_for(lambda: host.tenants()["blog"]["apps"][0]["version"] != before), "the version did not change"

        def fail(number):
            host.configure([app("blog", broken, check="/hello")])
            status, text = host.admin("POST", "/reload")
            assert status == 422 and "blog" in text, (status, text)

        def by_the_socket(number):
            source = host.folder / f"socket-{number}.wasm"
            shutil.copy((two, one)[number % 2], source)
            status, text = host.admin("POST", "/apps", app("other", source, check="/hello"))
            assert status == 200, (status, text)
            for verb in ("suspend", "resume"):
                status, text = host.admin("POST", f"/apps/other/other/{verb}")
                assert status == 200, (status, text)
            status, text = host.admin("DELETE", "/apps/other/other")
            assert status == 200, (status, text)

        def by_the_folder(number):
            part = watched / "part"
            shutil.copy((two, one)[number % 2], part)
            part.rename(watched / "dropped.wasm")
            assert wait_for(lambda: ask(host.port, "dropped.watched", "/hello") == (200, b"hello\n")), "it is not served"
            (watched / "dropped.wasm").unlink()
            assert wait_for(lambda: ask(host.port, "dropped.watched", "/hello")[0] == 404), "it is still served"

        def moved(number):
            # Another name at the same place, in one step.
            name = ("renamed", "blog")[number % 2]
            host.configure([app(name, one, check="/hello").replace('host = "renamed.test"', 'host = "blog.test"')])
            status, text = host.admin("POST", "/reload")
            assert status == 200, (status, text)

        def replace_workers(number):
            # A tenant that keeps files needs workers that may write them: all are replaced, one after the other.
            other = app(f"files-{number}", one, data=True, check="/hello")
            host.configure([app("blog", one, check="/hello"), other])
            status, text = host.admin("POST", "/reload")
            assert status == 200, (status, text)

        def graceful_stop():
            """Clients on connections that are kept, when the host is told to stop: each is answered until it is told that it was the last."""
            told, lost, answered, lock = [], [], [0], threading.Lock()

            def kept():
                connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=60)
                with contextlib.closing(connection):
                    while True:
                        try:
                            connection.request("GET", "/hello", headers={"Host": "blog.test"})
                            reply = connection.getresponse()
                            body = reply.read()
                        except (http.client.HTTPException, OSError) as error:
                            return lost.append(repr(error))
                        if (reply.status, body) != (200, b"hello\n"):
                            return lost.append(f"{reply.status} {body!r}")
                        with lock:
                            answered[0] += 1
                        if reply.will_close:
                            return told.append(reply)

            threads = [threading.Thread(target=kept) for _ in range(16)]
            for thread in threads:
                thread.start()
            time.sleep(2)
            code = host.stop()
            for thread in threads:
                thread.join()
            good = code == 0 and not lost and len(told) == len(threads)
            table.row("a graceful stop", 1, "-", "-", answered[0], len(lost), good=good)
            if not good:
                print(f"    exit code {code}; {lost[:3]}")

        under_load("another version, by SIGHUP", reload)
        under_load("a version that fails", fail)
        under_load("by the admin socket, beside", by_the_socket)
        under_load("by the watched folder, beside", by_the_folder)
        under_load("under another name", moved)
        host.configure([app("blog", one, check="/hello")])
        assert host.admin("POST", "/reload")[0] == 200
        under_load("other workers", replace_workers)
        graceful_stop()
    shutil.rmtree(watched)
    table.end("make deploys")


main()

#!/usr/bin/env python3
"""The CPU time that a guest takes for one request in a reused instance: the boundary and the application, no HTTP.

    python3 benches/boundary.py target/debug/wasgi dist/hello.wasm /  [REQUESTS]

Serves the built file on a free port of the loopback interface, asks for the path over one connection, one request after the other, and prints
the least, the median and the greatest `cpu_ms` of the access log, in microseconds. Two files are compared by running it for each in turn.
"""

import http.client
import re
import statistics
import subprocess
import sys
import tempfile

WARM_UP = 300


def main(program, file, path, requests=3000):
    flags = ["--bind", "127.0.0.1:0", "--isolation", "reuse", "--reuse-requests", "1000000", "--access-log"]
    with tempfile.TemporaryFile("w+") as log:
        host = subprocess.Popen([program, "serve", file, *flags], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            ready = next(line for line in host.stdout if line.startswith("ready"))
            connection = http.client.HTTPConnection(ready.split("http://")[1].strip(), timeout=30)
            for _ in range(requests):
                connection.request("GET", path)
                response = connection.getresponse()
                if response.status != 200:
                    sys.exit(f"{path} answered {response.status}")
                response.read()
        finally:
            host.terminate()
            host.wait(30)
        log.seek(0)
        times = [float(time) * 1000 for time in re.findall(r"cpu_ms=([0-9.]+)", log.read())][WARM_UP:]
    print(f"{file} {path}: {min(times):.0f} / {statistics.median(times):.0f} / {max(times):.0f} us of CPU, {len(times)} requests")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:4], *map(int, sys.argv[4:5]))

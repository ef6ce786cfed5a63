"""The time, and time that passes."""

import time


def application(environ, start_response):
    started = time.monotonic()
    time.sleep(0.005)
    passed = time.monotonic() - started >= 0.005
    start_response("200 OK", [])
    return [f"{int(time.time())} {str(passed).lower()}".encode()]

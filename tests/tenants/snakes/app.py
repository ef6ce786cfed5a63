"""What a hostile application does in Python: each is stopped by a limit of its tenant, or by Python itself."""

import re
import time


def regex():
    re.fullmatch("(a+)+b", "a" * 64)


def recursion():
    return recursion()


def memory():
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


def catches():
    """Python's way to go on whatever comes."""
    while True:
        try:
            memory()
        except BaseException:
            continue


def generator():
    while True:
        yield b""


def application(environ, start_response):
    act = {"/regex": regex, "/recursion": recursion, "/memory": memory, "/catches": catches, "/nothing": generator, "/sleep": lambda: time.sleep(60)}
    start_response("200 OK", [("Content-Type", "text/plain")])
    return act.get(environ["PATH_INFO"], lambda: [b"hello\n"])()

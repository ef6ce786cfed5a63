"""Bytes on their way to the host.

They cross as text of code points U+0000 to U+00FF, through the interface ``latin1``: componentize-py 0.25 never frees the bytes that it
lowers, and does free text. Nothing, or an empty list, then stands where the chunk belongs.
"""

from wit_world.imports import latin1

# The host takes 1 MiB at a time.
LARGEST = 1 << 20


def pass_on(data):
    """Hands over one piece; the caller then passes ``b""``."""
    latin1.chunk(data.decode("latin-1"))


def pass_all(data):
    """Hands over a whole body, which is sent at once."""
    latin1.whole(data.decode("latin-1"))


def pieces(data):
    """``data`` in pieces that the host takes."""
    if len(data) <= LARGEST:
        return (data,)
    return (data[start : start + LARGEST] for start in range(0, len(data), LARGEST))

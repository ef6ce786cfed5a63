"""The guest's heap, before it becomes the image that all instances begin with."""

import sys

# What the C library keeps of each piece of memory beside it, and what its pieces are multiples of.
_OVERHEAD = 4
_UNIT = 16
# Larger pieces are few.
_LARGEST = 4096
# So many pieces that lie one behind the other come from memory that was in one piece: free neighbours would have been joined.
_RUN = 4
# No heap of an application that was imported has so many holes.
_MOST = 100_000

_plugs = []


def plug():
    """Fills the holes that an import leaves in the heap. A request takes a few hundred small pieces of memory: from holes, each would lie on
    another page, which the host has to make a copy of, or to put back; what is taken behind this lies together."""
    try:
        for size in range(_LARGEST, _UNIT, -_UNIT):
            _plug(size, bytes, size - _OVERHEAD - sys.getsizeof(b""))
        _plug(_UNIT, object)
    except MemoryError:
        # Who has so little of it needs the holes.
        _plugs.clear()


def _plug(size, make, *arguments):
    last = run = 0
    while run < _RUN and len(_plugs) < _MOST:
        piece = make(*arguments)
        run = run + 1 if id(piece) - last == size else 0
        last = id(piece)
        _plugs.append(piece)
    # They lie where there is room.
    piece = None
    del _plugs[-run - 1 :]

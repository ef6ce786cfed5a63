"""The guest's heap, before it becomes the image that all instances begin with."""

import gc
import sys
import types
from array import array

# What CPython takes for immortal where a pointer has 32 bits: _Py_IMMORTAL_INITIAL_REFCNT in Include/refcount.h. An object begins with its count.
_IMMORTAL = 5 << 28
# More of them no host changes (`src/sandbox/report.rs`).
_MOST_WORDS = 4_000_000
# Kinds by their addresses: what a metaclass says of its classes is not asked. These last, and hold nothing of which anybody could miss the end.
_PLAIN = frozenset(
    map(
        id,
        (
            bytes,
            complex,
            float,
            int,
            object,
            str,
            type(None),
            types.ClassMethodDescriptorType,
            types.CodeType,
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
            types.MethodDescriptorType,
            types.ModuleType,
            types.WrapperDescriptorType,
        ),
    )
)
# And these, if what they hold does.
_HOLDERS = frozenset(map(id, (types.FunctionType, classmethod, property, staticmethod)))
# So many of them one within the other (decorated functions), and no more in one: no table is looked through.
_DEPTH = 4
_WIDTH = 100

# What the C library keeps of each piece of memory beside it, and what its pieces are multiples of.
_OVERHEAD = 4
_UNIT = 16
# Larger pieces are few.
_LARGEST = 4096
# So many pieces that lie one behind the other come from memory that was in one piece: free neighbours would have been joined.
_RUN = 4
# No heap of an application that was imported has so many holes.
_MOST = 100_000

_immortals = None
_plugs = []


def immortal():
    """Which words the host is to change for what lasts to be immortal: CPython counts no references to that, and so a request does not write
    where all of it lies, which the host would have to make copies of, or to put back."""
    global _immortals
    try:
        held = [thing for thing in _lasting() if not sys._is_immortal(thing)]
        addresses = array("I", map(id, held))
    except MemoryError:
        return None
    # For good: what is at such an address stays there.
    _immortals = held, addresses
    at, count = addresses.buffer_info()
    return {"at": at, "count": count, "value": _IMMORTAL} if count <= _MOST_WORDS else None


def _lasting():
    """What lasts of what the collector knows: functions, classes and modules, which refer to each other in circles that a collector who never
    looks at the image would not free either; their namespaces, code and constants. Some of it more than once."""
    found, codes = [], set()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is types.FunctionType:
            if _lasts(thing, _DEPTH):
                found.append(thing)
                found += thing.__closure__ or ()
                found.append(thing.__defaults__)
                _add_code(thing.__code__, codes, found)
        elif _is_space(thing):
            _add_space(thing, found)
        elif kind is not tuple and _lasts(thing, _DEPTH):
            found.append(thing)
    return found


def _is_space(thing):
    kind = type(thing)
    return kind is types.ModuleType or issubclass(kind, type)


def _add_code(code, codes, found):
    left = [code]
    while left:
        code = left.pop()
        if id(code) not in codes:
            codes.add(id(code))
            constants = code.co_consts
            found += (code, constants, code.co_names, *constants)
            left += (constant for constant in constants if type(constant) is types.CodeType)


def _add_space(space, found):
    """What is in a namespace may be replaced; it is there for good itself."""
    found.append(space)
    for part in gc.get_referents(space):
        if type(part) is dict:
            found.append(part)
            found += (value for value in part.values() if _lasts(value, 1))
        elif type(part) is tuple and _lasts(part, 1):
            found.append(part)


def _lasts(thing, depth):
    kind = type(thing)
    if id(kind) in _PLAIN or issubclass(kind, type):
        return True
    if kind is types.BuiltinFunctionType:
        # Others are methods: of a list, of an open file.
        return thing.__self__ is None or _is_space(thing.__self__)
    if depth == 0:
        return False
    if kind is tuple:
        return len(thing) <= _WIDTH and all(_lasts(part, depth - 1) for part in thing)
    if id(kind) not in _HOLDERS:
        return False
    spaces = (thing.__globals__, thing.__builtins__) if kind is types.FunctionType else ()
    for part in gc.get_referents(thing):
        if id(type(part)) not in _PLAIN and not any(part is space for space in spaces) and not _is_held(part, depth - 1):
            return False
    return True


def _is_held(part, depth):
    """Whether what a function, or what is made of one, refers to lasts: its attributes and defaults, what it closes over, other functions."""
    if type(part) is dict:
        return len(part) <= _WIDTH and all(_lasts(value, depth) for value in part.values())
    if type(part) is tuple and part and type(part[0]) is types.CellType:
        return all(_lasts(held, depth) for cell in part for held in gc.get_referents(cell))
    return _lasts(part, depth)


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

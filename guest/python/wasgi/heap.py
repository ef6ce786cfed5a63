"""The guest's heap, before it becomes the image that all instances begin with."""

import gc
import sys
import types
from array import array
from weakref import getweakrefcount

# What CPython takes for immortal where a pointer has 32 bits: _Py_IMMORTAL_INITIAL_REFCNT in Include/refcount.h. An object begins with its count.
_IMMORTAL = 5 << 28
# More of them no host changes (`src/sandbox/report.rs`).
_MOST_WORDS = 4_000_000
# Kinds by their addresses: what a metaclass says of its classes is not asked. These hold nothing of which anybody could miss the end.
_PLAIN = frozenset(
    map(
        id,
        (
            bool,
            bytes,
            complex,
            float,
            int,
            object,
            range,
            str,
            type(...),
            type(None),
            type(NotImplemented),
            types.ClassMethodDescriptorType,
            types.CodeType,
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
        ),
    )
)
# And these, if what they hold does not.
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
        held = [thing for thing in _Lasting().found if not sys._is_immortal(thing)]
        addresses = array("I", map(id, held))
    except MemoryError:
        return None
    at, count = addresses.buffer_info()
    if count > _MOST_WORDS:
        return None
    # For good: what is at such an address stays there.
    _immortals = held, addresses
    return {"at": at, "count": count, "value": _IMMORTAL}


class _Lasting:
    """What lasts: classes, the modules that are imported, their namespaces, functions, and the code, constants and defaults of these. An
    application hardly ever parts with any of it, and nobody can tell when it does. Some of it is found more than once."""

    def __init__(self):
        self.found, self._codes = [], set()
        self._modules = {id(module) for module in tuple(sys.modules.values()) if type(module) is types.ModuleType}
        things = gc.get_objects()
        spaces = [thing for thing in things if self._is_space(thing)]
        # A function closes over its class's, if it is annotated.
        self._namespaces = {id(part) for space in spaces for part in gc.get_referents(space) if type(part) is dict}
        for space in spaces:
            self._add_space(space)
        for thing in things:
            if type(thing) is types.FunctionType:
                self._add_function(thing)
            elif type(thing) is not tuple and not self._is_space(thing) and self._lasts(thing, _DEPTH):
                self.found.append(thing)

    def _is_space(self, thing):
        return issubclass(type(thing), type) or id(thing) in self._modules

    def _add_space(self, space):
        """What is in a namespace may be replaced; it is there for good itself."""
        self.found.append(space)
        for part in gc.get_referents(space):
            if type(part) is dict:
                self.found.append(part)
                for value in tuple(part.values()):
                    self._add_plain(value)
            else:
                self._add_plain(part)

    def _add_plain(self, thing):
        """Unless the collector knows it, which has told it then."""
        if type(thing) is tuple:
            if self._lasts(thing, 2):
                self.found += (thing, *thing)
        elif not gc.is_tracked(thing) and self._lasts(thing, 1):
            self.found.append(thing)

    def _add_function(self, function):
        # A call counts its code, whatever else the function holds.
        self._add_code(function.__code__)
        if self._lasts(function, _DEPTH):
            cells = function.__closure__ or ()
            self.found += (function, *cells, *(held for cell in cells for held in gc.get_referents(cell)))
            self.found += function.__defaults__ or ()
            self.found += (function.__kwdefaults__ or {}).values()

    def _add_code(self, code):
        left = [code]
        while left:
            code = left.pop()
            constants = code.co_consts
            if id(code) not in self._codes and all(self._lasts(constant, 2) for constant in constants):
                self._codes.add(id(code))
                self.found += (code, constants, code.co_names, *constants)
                left += (constant for constant in constants if type(constant) is types.CodeType)

    def _lasts(self, thing, depth):
        """Whether nobody is to miss its end. No code of the application's runs here."""
        kind = type(thing)
        if id(kind) in _PLAIN or self._is_space(thing) or id(thing) in self._namespaces:
            return True
        if kind is types.BuiltinFunctionType:
            # Others are methods: of a list, of an open file.
            return thing.__self__ is None or self._is_space(thing.__self__)
        if depth == 0:
            return kind is tuple and not thing
        if kind is tuple or kind is frozenset:
            return len(thing) <= _WIDTH and all(self._lasts(part, depth - 1) for part in thing)
        if id(kind) not in _HOLDERS or (kind is types.FunctionType and getweakrefcount(thing)):
            return False
        return all(self._lasts(part, depth - 1) for part in self._held(thing))

    def _held(self, holder):
        """What a function, or what is made of one, refers to, closes over, and has as attributes and defaults."""
        closure = holder.__closure__ if type(holder) is types.FunctionType else None
        for part in gc.get_referents(holder):
            if part is not None and part is closure:
                yield from (held for cell in part for held in gc.get_referents(cell))
            elif type(part) is dict and id(part) not in self._namespaces:
                yield from tuple(part.values())
            else:
                yield part


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

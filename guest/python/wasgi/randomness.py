"""What ``random`` draws differs in each instance: an instance's first draw seeds it. To seed is a good part of a small request's work, and
most requests draw nothing. ``secrets``, ``uuid4`` and ``os.urandom`` keep no state: they ask the host each time.
"""

import functools
import random
import sys
import types
from os import urandom

_SEED_BYTES = 32

# An application may put others in their place.
_Random = random.Random
# The one whose methods the functions of the module are.
_shared = random._inst
# The module, where an application has loaded it anew.
_other = None


class _Unseeded(random.Random):
    """What ``_shared`` is until it is drawn from, or is given a state. What fails leaves it so."""

    __slots__ = ()

    def random(self):
        return _seeded(self).random()

    def getrandbits(self, k):
        return _seeded(self).getrandbits(k)

    def getstate(self):
        return _seeded(self).getstate()

    def __reduce__(self):
        return _seeded(self).__reduce__()

    def seed(self, *arguments, **named):
        _Random.seed(self, *arguments, **named)
        self.__class__ = _Random

    def setstate(self, state):
        _Random.setstate(self, state)
        self.__class__ = _Random


class _Through:
    """The functions of the module that were methods of the class that ``_shared`` had at first. The others call these."""

    def random(self):
        return self.random()

    def getrandbits(self, k):
        return self.getrandbits(k)

    def getstate(self):
        return self.getstate()

    def seed(self, a=None, version=2):
        return self.seed(a, version)

    def setstate(self, state):
        return self.setstate(state)


def _seeded(generator):
    # Who kept one of these methods calls it of one that is seeded by now, too.
    if type(generator) is _Unseeded:
        generator.seed(_new())
    return generator


def _new():
    # Without an argument, `seed` would ask for 2 496 bytes, 256 at a time.
    return int.from_bytes(urandom(_SEED_BYTES))


def renew():
    """Seeds now."""
    _shared.seed(_new())


def forget():
    """What is in memory now is where all instances begin: no two of them may draw the same."""
    global _other
    _shared.__class__ = _Unseeded
    # `gauss` draws two, and keeps one.
    _shared.gauss_next = None
    module = sys.modules.get("random")
    _other = None if getattr(module, "_inst", _shared) is _shared else module


def begin():
    """An instance's first request."""
    if _other is not None:
        _other.seed(_new())


def install():
    """Puts them where code looks for them, methods of ``_shared`` as they were."""
    for name, function in vars(_Through).items():
        if isinstance(function, types.FunctionType):
            functools.update_wrapper(function, getattr(_Random, name))
            del function.__wrapped__
            setattr(random, name, types.MethodType(function, _shared))

"""What ``random`` draws differs in each instance: an instance's first draw seeds it. To seed is a fifth of a small request's work, and most
requests draw nothing. ``secrets``, ``uuid4`` and ``os.urandom`` keep no state: they ask the host each time.
"""

import functools
import random
from os import urandom

_SEED_BYTES = 32

# The one whose methods the functions of the module are.
_shared = random._inst


class _Unseeded(random.Random):
    """What ``_shared`` is until it is drawn from, or is given a state."""

    __slots__ = ()

    def random(self):
        return _seeded(self).random()

    def getrandbits(self, k):
        return _seeded(self).getrandbits(k)

    def getstate(self):
        return _seeded(self).getstate()

    def seed(self, *arguments, **named):
        return _plain(self).seed(*arguments, **named)

    def setstate(self, state):
        return _plain(self).setstate(state)


def _plain(generator):
    generator.__class__ = random.Random
    return generator


def _seeded(generator):
    # Who kept one of these methods calls it of one that is seeded by now, too.
    if type(generator) is _Unseeded:
        # Without an argument it would ask for 2 496 bytes, 256 at a time.
        _plain(generator).seed(int.from_bytes(urandom(_SEED_BYTES)))
    return generator


def forget():
    """The next draw seeds anew: nobody else is to know what it gives, and no two instances are to draw the same."""
    _shared.__class__ = _Unseeded
    # `gauss` draws two, and keeps one.
    _shared.gauss_next = None


def _random():
    return _shared.random()


def _getrandbits(k):
    return _shared.getrandbits(k)


def _getstate():
    return _shared.getstate()


def _seed(a=None, version=2):
    return _shared.seed(a, version)


def _setstate(state):
    return _shared.setstate(state)


def install():
    """The other functions of the module call these methods; these functions were the methods of the class that it had at first."""
    for function in (_random, _getrandbits, _getstate, _seed, _setstate):
        name = function.__name__[1:]
        functools.update_wrapper(function, getattr(random, name))
        del function.__wrapped__
        setattr(random, name, function)

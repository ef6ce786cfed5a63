"""Notes where an application takes random bytes while it is imported: they are then the same in all instances of a release."""

import os
import sys


class SecretWatch:
    def __init__(self, folder):
        self._folder = folder + "/"
        self._urandom = os.urandom
        self.places = []

    def __enter__(self):
        os.urandom = self._watched
        random = sys.modules.get("random")
        if random is not None:
            random._urandom = self._watched
        return self

    def __exit__(self, *exc):
        os.urandom = self._urandom
        random = sys.modules.get("random")
        if random is not None:
            random._urandom = self._urandom

    def _watched(self, size):
        frame = sys._getframe(1)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._folder):
                place = f"{name[len(self._folder):]}:{frame.f_lineno}"
                if place not in self.places:
                    self.places.append(place)
                break
            # Random bytes that a library takes while it is imported are its own affair.
            if name.startswith("<frozen importlib"):
                break
            frame = frame.f_back
        return self._urandom(size)

"""The iterable that an application returned, as the host pulls it (PEP 3333, "Specification Details")."""

from componentize_py_types import Err
from wit_world.exports.application import Body as _Body

from . import chunk, exc_info, start_response


class Body(_Body):
    """Only ``__iter__``, ``__next__``, ``__len__`` and ``close`` of the iterable are used (S69).

    One for all requests of an instance, which come one after the other: componentize-py 0.25 never lets go of an object that it has handed to
    the host as a resource, nor of the finaliser that it makes for it.
    """

    def begin(self, iterable, input):
        """The iterable of a new request."""
        self._iterable = iterable
        self._iterator = None
        self._pieces = iter(())
        self._input = input
        return self

    def _has_one(self):
        try:
            return len(self._iterable) == 1
        except (TypeError, AttributeError, NotImplementedError):
            return False

    def pass_whole(self):
        """Hands over the whole body, if the first item is all of it: the only one of an iterable that says so, or of the length that the
        head declares. Elsewhere False, and the item is the next one."""
        only, declared = self._has_one(), start_response.declared()
        if not only and declared is None:
            return False
        data = self._fetch()
        if data is None:
            self._iterator = iter(())
            return False
        if len(data) <= chunk.LARGEST and (only or declared == str(len(data))):
            chunk.pass_all(data)
            return True
        self._pieces = iter(chunk.pieces(data))
        return False

    def pass_next(self):
        """Hands over the next chunk; False at the end."""
        for piece in self._pieces:
            chunk.pass_on(piece)
            return True
        data = self._fetch()
        if data is None:
            return False
        if len(data) > chunk.LARGEST:
            self._pieces = iter(chunk.pieces(data))
            data = next(self._pieces)
        chunk.pass_on(data)
        return True

    def count(self):
        """``len()`` of the iterable, where that helps the host: with 1, it makes the first chunk's length the Content-Length. So that
        chunk is fetched now, to see whether it crosses in one piece."""
        if not self._has_one():
            return None
        first = self._fetch()
        if first is None:
            return None
        self._pieces = chunk.pieces(first)
        whole = type(self._pieces) is tuple
        self._pieces = iter(self._pieces)
        return 1 if whole else None

    def next(self):
        try:
            # The host has the chunk, if there was one: an answer of none is then no end.
            self.pass_next()
            return None
        except BaseException as error:
            failed = exc_info.of(error)
        raise Err(failed)

    def _fetch(self):
        """The next item, or None at the end."""
        if self._iterator is None:
            self._iterator = iter(self._iterable)
        try:
            data = next(self._iterator)
        except StopIteration:
            return None
        if type(data) is not bytes:
            raise TypeError(f"the application yielded {type(data).__name__}, not bytes")
        return data

    def close(self):
        try:
            try:
                close = getattr(self._iterable, "close", None)
                if close is not None:
                    close()
                return
            finally:
                # What the application kept of its input is dead.
                self._input.release()
                self._iterable = self._iterator = self._pieces = self._input = None
                self._forget_handle()
        except BaseException as error:
            failed = exc_info.of(error)
        raise Err(failed)

    def _forget_handle(self):
        """The host drops the resource now: the next request makes a new one of this object."""
        finalizer = self.__dict__.pop("finalizer", None)
        if finalizer is not None:
            finalizer.detach()
        self.__dict__.pop("__componentize_py_handle", None)


BODY = Body()

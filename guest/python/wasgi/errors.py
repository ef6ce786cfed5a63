"""``wsgi.errors``: text for the tenant's log (PEP 3333, "Input and Error Streams"; S29)."""

from wit_world.imports import errors as host

_PIECE = 65536


class Errors:
    """One for all requests: it writes to the log of the one that runs."""

    encoding = "utf-8"

    def write(self, text):
        if type(text) is not str:
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        # A lone surrogate is no Unicode text, and would be refused on its way; so would a text of megabytes.
        whole = text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
        for start in range(0, len(whole), _PIECE):
            host.write(whole[start : start + _PIECE])
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        """Nothing to do: the host has it already."""


ERRORS = Errors()

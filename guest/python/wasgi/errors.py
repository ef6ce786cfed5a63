"""``wsgi.errors``: text for the tenant's log (PEP 3333, "Input and Error Streams"; S29)."""


class Errors:
    """One for all requests: it writes to the log of the one that runs."""

    encoding = "utf-8"

    def __init__(self):
        self._handle = None

    def write(self, text):
        if type(text) is not str:
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        if self._handle is not None:
            # A lone surrogate is no Unicode text, and would be refused on its way.
            self._handle.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        """Nothing to do: the host has it already."""

    def attach(self, handle):
        self._handle = handle


ERRORS = Errors()

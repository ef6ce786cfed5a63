"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling"; S70)."""


class FileWrapper:
    """Yields a file's content from its current offset, block by block, and closes it."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        # A block is one crossing to the host: few large ones are cheaper, and 64 KiB is little memory.
        self.blksize = max(blksize, 65536)
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration

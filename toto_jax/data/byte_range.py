"""A part of a file as a file of its own: a member of a tar, read where it lies."""

import io
import os


class ByteRange(io.RawIOBase):
    """A readable, seekable stream of some bytes of a file. Several may be open on one file, in any threads.

    Args:
      path: of the file.
      offset: of the first byte.
      size: in bytes.
      name: what errors call it.

    Raises:
      OSError: if the file can't be opened.
    """

    def __init__(self, path: str, offset: int, size: int, name: str):
        super().__init__()
        self.name = name
        self._offset, self._size, self._place = offset, size, 0
        self._descriptor = os.open(path, os.O_RDONLY)

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer as far as there are bytes and returns how many came; 0 at the end."""
        wanted = max(min(len(buffer), self._size - self._place), 0)
        content = os.pread(self._descriptor, wanted, self._offset + self._place)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place and returns it, counted from the first byte of the part."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"{self.name} has no byte {start + offset}")
        self._place = start + offset
        return self._place

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

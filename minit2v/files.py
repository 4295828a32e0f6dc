"""Files on disk, written whole or not at all."""

import errno
import os
import shutil
from pathlib import Path

from minit2v.errors import UserError


def write_whole(path, data):
    """Write bytes so that, whatever happens, `path` holds either its old content or all of the new.

    The bytes go to PATH.partial, are forced to the disk, and only then renamed, which is one indivisible step.
    Raises UserError if the disk is full, the folder is missing, or writing is not allowed.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            _sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, len(data), error) from error


def _sync_folder(folder):
    # The rename itself lives in the folder; Windows cannot open folders, and needs no such call.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cannot_write(path, size, error):
    """The UserError for an OSError met while writing `size` bytes to `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free / 1e6
        return UserError(
            f"the disk that holds '{path}' is full: {size / 1e6:.1f} MB are needed, {free:.1f} MB are free; "
            "make room and run again (what the file held before is untouched)"
        )
    if not path.parent.is_dir():
        return UserError(f"cannot write '{path}': there is no folder '{path.parent}'; create it or name another")
    return UserError(f"cannot write '{path}': {error.strerror or error}; name a place where you may write")

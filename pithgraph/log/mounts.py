"""Which file system a log lies on, where the system tells.

What lives here: the table of those on which LMDB does not hold. What must not: what to do about it.

LMDB's readers and writers share memory and locks through the log's files. File systems that several
machines share give each machine its own copy of these pages, so that one may overwrite what the
other reads; some give no locks at all.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

# As they are named in /proc/mounts (Linux). Those under fuse. are the ones that are mostly met.
REMOTE: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "davfs", "coda"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "pvfs2", "ocfs2", "gfs2", "vboxsf"),
        *("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.davfs", "fuse.curlftpfs"),
        *("fuse.glusterfs", "fuse.ceph-fuse", "fuse.juicefs", "fuse.goofys", "fuse.mount-s3"),
    }
)
_MOUNTS: Final = Path("/proc/self/mounts")
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")


def remote_file_system(path: str | os.PathLike[str], mounts: Path | None = None) -> str | None:
    """The type of the file system that a path is on, or would be, if several machines share it, as
    in "nfs"; None where it is local, or nobody tells, as outside Linux.

    `mounts` is a table to be read instead of the system's own (proc_pid_mounts(5)).
    """
    try:
        table = (mounts or _MOUNTS).read_bytes()
    except OSError:
        return None
    folder = os.fsencode(os.path.realpath(path))
    nearest, kind = b"", b""
    for line in table.splitlines():
        _, point, found, *_ = [*line.split(b" "), b"", b"", b""]
        point = _ESCAPED.sub(lambda octal: bytes([int(octal[1], 8) & 255]), point)
        inside = folder == point or folder.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(nearest):  # of two at one point the later hides the other
            nearest, kind = point, found
    name = kind.decode("ascii", "replace")
    return name if name in REMOTE else None

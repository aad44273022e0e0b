"""The append-only log of events in LMDB.

What lives here: the layout (`layout`, `compression`), reading (`reader`), writing (`writer`,
`batch`), and what it takes of a machine (`forks`, `mounts`). What must not: any rule about whether
an event counts; the log stores what it is handed.
"""

from pithgraph.log.batch import Appended
from pithgraph.log.mounts import remote_file_system
from pithgraph.log.reader import Log
from pithgraph.log.snapshot import Snapshot, StoredEvent
from pithgraph.log.writer import LogWriter

__all__ = ["Appended", "Log", "LogWriter", "Snapshot", "StoredEvent", "remote_file_system"]

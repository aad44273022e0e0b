"""The append-only log of events in LMDB.

What lives here: the layout (`layout`), reading (`reader`), writing (`writer`). What must not: any
rule about whether an event counts; the log stores what it is handed.
"""

from pithgraph.log.reader import Log, Snapshot, StoredEvent
from pithgraph.log.writer import Appended, LogWriter

__all__ = ["Appended", "Log", "LogWriter", "Snapshot", "StoredEvent"]

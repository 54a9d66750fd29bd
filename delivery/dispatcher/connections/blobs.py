"""Large parts in memory: one attachment to five thousand people is read once per worker."""

from collections import OrderedDict
from collections.abc import Sequence

from delivery import queue
from delivery.dispatcher.database import Database

_MOST_BYTES = 64 * 1024 * 1024


class Blobs:
    """The parts used last, up to 64 MB."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0

    def at_hand(self, ids: Sequence[int]) -> tuple[bytes, ...] | None:
        """Return the same as `get` when all of it is in memory, else None."""
        if any(blob_id not in self._known for blob_id in ids):
            return None
        return tuple(self._known[blob_id] for blob_id in ids)

    async def get(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        """Return the wire bytes of these parts, in this order."""
        if not ids:
            return ()
        known = {blob_id: self._known[blob_id] for blob_id in ids if blob_id in self._known}
        missing = [blob_id for blob_id in ids if blob_id not in known]
        loaded = await self._database.call(lambda: queue.load_blobs(missing)) if missing else {}
        found = tuple(loaded[i] if i in loaded else known[i] for i in ids)
        for blob_id in ids:
            self._keep(blob_id, loaded.get(blob_id))
        return found

    def _keep(self, blob_id: int, data: bytes | None) -> None:
        if blob_id in self._known:
            self._known.move_to_end(blob_id)
            return
        if data is None:
            return
        self._known[blob_id] = data
        self._size += len(data)
        while self._size > _MOST_BYTES:
            self._size -= len(self._known.popitem(last=False)[1])

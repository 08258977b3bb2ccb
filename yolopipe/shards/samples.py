"""The augmented table as a file with random access by row: a shard takes rows from all over it."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe.shards.plan import image_digests
from yolopipe.tables import TableReader

__all__ = ["SampleTable"]


PIECE_ROWS = 4096
"""Rows of a piece of the mapped file."""


class SampleTable:
    """The rows of a table, on disk until they are taken.

    They are copied once, uncompressed, into a memory-mapped file without a name: 0.3 kB of disk a sample.  Memory is
    20 bytes a sample.

    Args:
        table: the augmented table.
        scratch: name of a file that is made and removed at once.
    """

    def __init__(self, table: TableReader, scratch: Path) -> None:
        digests, copies = [image_digests(())], [np.zeros(0, np.int32)]
        self.boxes = 0
        with pa.OSFile(str(scratch), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            for piece in _larger(table.pieces()):
                writer.write_table(piece)
                digests.append(image_digests(piece["image"].to_pylist()))
                copies.append(piece["copy"].to_numpy())
                self.boxes += len(piece["classes"].combine_chunks().flatten())
        self.digests: npt.NDArray[np.uint64] = np.concatenate(digests)
        """(N,) the sort key of the samples, see :func:`yolopipe.shards.plan.image_digests`."""
        self.copies: npt.NDArray[np.int32] = np.concatenate(copies)
        """(N,) copy of each sample."""
        with scratch.open("rb") as opened:
            self._mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        scratch.unlink()  # the mapping stays; nothing is left to clean up, however the run ends
        file = pa.ipc.open_file(pa.py_buffer(self._mapped))
        self._pieces: Sequence[pa.RecordBatch] = [file.get_batch(i) for i in range(file.num_record_batches)]
        self._ends = np.cumsum([piece.num_rows for piece in self._pieces], dtype=np.int64)

    def take(self, samples: npt.NDArray[np.int64]) -> pa.Table:
        """Some rows, in the order asked for."""
        owner = np.searchsorted(self._ends, samples, side="right")
        order = np.argsort(owner, kind="stable")
        wanted, parts = samples[order], []
        for number, first, after in zip(*_runs(owner[order]), strict=True):
            piece = self._pieces[number]
            start = self._ends[number] - piece.num_rows
            parts.append(piece.take(pa.array(wanted[first:after] - start)))
            self._release_pages()
        return pa.Table.from_batches(parts).combine_chunks().take(pa.array(np.argsort(order)))

    def _release_pages(self) -> None:
        """Unmap the pages read; otherwise the whole file would count as memory of this process in the end."""
        if hasattr(mmap, "MADV_DONTNEED"):  # drops only the mapping; the pages stay in the page cache
            self._mapped.madvise(mmap.MADV_DONTNEED)


def _larger(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer pieces: a shard takes rows from each, so many pieces are slow."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(part.num_rows for part in waiting) >= PIECE_ROWS:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _runs(values: npt.NDArray[np.int64]) -> tuple[list[int], list[int], list[int]]:
    """Runs of equal values: the value, and where each starts and ends.

    >>> _runs(np.array([4, 4, 7]))
    ([4, 7], [0, 2], [2, 3])
    """
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return values[starts].tolist(), starts.tolist(), [*starts[1:].tolist(), len(values)]

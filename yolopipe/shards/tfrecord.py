"""TFRecord files of ``tf.train.Example``, written and read without TensorFlow.

Importing TensorFlow costs a worker process more time and memory than writing its shards does.  Every feature is one
byte string, arrays as their little-endian bytes: ``tf.io.parse_single_example`` with
``FixedLenFeature([], tf.string)`` and ``tf.io.decode_raw`` read it (:mod:`yolopipe.shards.tfdata` does).

A record is: length (8 bytes), masked CRC-32C of those, payload, masked CRC-32C of the payload.
An Example is protobuf: ``Example{1: Features{1: map<string, Feature{1: BytesList{1: bytes}}>}}``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from yolopipe.errors import ShardError

__all__ = ["decode_example", "encode_example", "read_records", "write_record"]

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"  # protobuf tags: field number << 3 | 2 (length-delimited)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + _varint(len(payload)) + payload


def encode_example(features: Mapping[str, bytes]) -> bytes:
    """A serialised ``tf.train.Example`` whose features are single byte strings, in the order given.

    >>> decode_example(encode_example({"a": b"1", "b": b""}))
    {'a': b'1', 'b': b''}
    """
    entries = (
        _field(
            _FIELD_1,
            _field(_FIELD_1, name.encode()) + _field(_FIELD_2, _field(_FIELD_1, _field(_FIELD_1, value))),
        )
        for name, value in features.items()
    )
    return _field(_FIELD_1, b"".join(entries))


def _read_varint(buffer: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _open_field(buffer: bytes, at: int) -> tuple[int, int]:
    """Start and end of the payload of the length-delimited field at ``at``."""
    length, start = _read_varint(buffer, at + 1)
    return start, start + length


def decode_example(record: bytes) -> dict[str, bytes]:
    """The features of an Example that :func:`encode_example` wrote.

    Raises:
        ValueError: the bytes are not such an Example.
    """
    features: dict[str, bytes] = {}
    try:
        at, end = _open_field(record, 0)
        while at < end:
            entry, at = _open_field(record, at)
            name_start, name_end = _open_field(record, entry)
            start = end_of_value = name_end
            for _ in range(3):  # Feature, BytesList, value
                start, end_of_value = _open_field(record, start)
            features[record[name_start:name_end].decode()] = record[start:end_of_value]
    except IndexError:
        raise ValueError("not a tf.train.Example as this pipeline writes it") from None
    return features


def _masked_crc(payload: bytes) -> int:
    crc: int = google_crc32c.value(payload)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_record(file: BinaryIO, payload: bytes) -> None:
    """Append one record to an open TFRecord file."""
    length = _LENGTH.pack(len(payload))
    for part in (length, _CRC.pack(_masked_crc(length)), payload, _CRC.pack(_masked_crc(payload))):
        file.write(part)


def read_records(path: str | Path, wanted: Container[int] | None = None) -> Iterator[bytes]:
    """The records of a TFRecord file, their checksums compared.

    Args:
        path: the file.
        wanted: numbers of records; the payload of any other record is passed over unread.

    Raises:
        ShardError: naming file and record number, when one is cut or its checksum differs.
    """
    with Path(path).open("rb") as file:
        number = 0
        while head := file.read(12):
            if wanted is not None and number not in wanted and len(head) == 12:
                file.seek(_LENGTH.unpack(head[:8])[0] + 4, os.SEEK_CUR)
                number += 1
                continue
            payload = _read_payload(file, head)
            if payload is None:
                raise ShardError(
                    f"{path}: record {number} is damaged or cut short", hint="regenerate it: dvc repro -f precompute"
                )
            yield payload
            number += 1


def _read_payload(file: BinaryIO, head: bytes) -> bytes | None:
    if len(head) < 12 or _CRC.unpack(head[8:])[0] != _masked_crc(head[:8]):
        return None
    (length,) = _LENGTH.unpack(head[:8])
    payload, tail = file.read(length), file.read(4)
    if len(tail) < 4 or _CRC.unpack(tail)[0] != _masked_crc(payload):
        return None
    return payload

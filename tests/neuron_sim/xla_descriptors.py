"""The descriptors of XLA's hlo.proto and xla_data.proto, carved out of the installed torch_xla.

Its library embeds the serialized FileDescriptorProto of each .proto file; so the messages fit that very torch_xla,
and neither the .proto sources nor protoc is needed. Usage: python xla_descriptors.py OUT.binpb
"""

from __future__ import annotations

import mmap
import sys
import sysconfig
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

ROOTS = ("xla/service/hlo.proto", "xla/xla_data.proto")
VARINT, LENGTH_DELIMITED = 0, 2


def read_varint(blob: mmap.mmap, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends."""
    value = shift = 0
    while True:
        byte = blob[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


def message_end(blob: mmap.mmap, start: int) -> int:
    """Where the FileDescriptorProto that begins at `start` ends: its fields' numbers ascend, and 1, the name, is once.

    True of these files; the format promises neither.
    """
    position, last_field = start, 0
    while True:
        tag, body = read_varint(blob, position)
        field, wire_type = tag >> 3, tag & 7
        if not 1 <= field <= 14 or field < last_field or field == last_field == 1:
            return position
        if wire_type == LENGTH_DELIMITED:
            length, body = read_varint(blob, body)
            body += length
        elif wire_type == VARINT:
            _, body = read_varint(blob, body)
        else:
            return position
        position, last_field = body, field


def carve(blob: mmap.mmap, name: str) -> FileDescriptorProto:
    """The descriptor of the .proto file called `name`: the largest of the places that parse as one."""
    best = FileDescriptorProto()
    start = -1
    key = b"\n" + bytes([len(name)]) + name.encode()
    while (start := blob.find(key, start + 1)) >= 0:
        found = FileDescriptorProto()
        try:
            found.ParseFromString(blob[start : message_end(blob, start)])
        except (DecodeError, IndexError):
            continue
        if found.name == name and found.ByteSize() > best.ByteSize():
            best = found
    if not best.name:
        raise SystemExit(f"torch_xla's library holds no {name}")
    return best


def carve_with_imports(blob: mmap.mmap, name: str, into: FileDescriptorSet) -> None:
    if name in [file.name for file in into.file]:
        return
    descriptor = carve(blob, name)
    for imported in descriptor.dependency:
        carve_with_imports(blob, imported, into)
    into.file.append(descriptor)


def main(out: Path) -> None:
    library = next(Path(sysconfig.get_paths()["purelib"]).glob("_XLAC*.so"))
    descriptors = FileDescriptorSet()
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as blob:
        for root in ROOTS:
            carve_with_imports(blob, root, descriptors)
    out.write_bytes(descriptors.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

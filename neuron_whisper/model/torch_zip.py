"""Reading what torch.save wrote, without torch and without running anything the file names.

Not torch.load: `plan`, `compile --dry-run` and servers of compiled artifacts open .pt files on installs without torch.
The file is a zip of uncompressed members: <top>/data.pkl, a pickle of the objects with tensors as references,
and <top>/data/<key>, the raw storages, which are mapped where they lie.
"""

from __future__ import annotations

import reprlib
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.stored_tensors import BUFFERS, STORED_DTYPES, StoredTensor, WeightFile, are_sizes
from neuron_whisper.model.torch_pickle import FLOAT_STORAGES, PickledTensor, PickleRefused, read_pickle

MAX_PICKLE_BYTES = 4 << 20  # large-v3's is 0.2 MB; the pickle is read into memory, so it has a limit
MAX_BYTEORDER_BYTES = 16  # "little" or "big"
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of the name and of the extra field


class TorchZip:
    """An open torch.save file. Raises CheckpointError when it is none, or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = WeightFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                self.contents = self._read_pickle(archive)
        except CheckpointError:
            raise
        except PickleRefused as error:
            raise self._make_error("tensors and nothing else", error) from error
        except Exception as error:  # a damaged zip file makes zipfile and zlib raise anything
            found = reprlib.repr(str(error) or error)
            raise self._make_error("a zip file as torch.save writes it", found) from error

    def _read_pickle(self, archive: zipfile.ZipFile) -> object:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
        if len(pickles) != 1:
            raise self._make_error("one data.pkl", f"{len(pickles)} of them")
        top = pickles[0].removesuffix("data.pkl")
        self._members = {i.filename.removeprefix(top): i for i in archive.infolist()}
        for name, limit in (("data.pkl", MAX_PICKLE_BYTES), ("byteorder", MAX_BYTEORDER_BYTES)):
            if name in self._members and self._members[name].file_size > limit:
                raise self._make_error(f"{name} of at most {limit} bytes", f"{self._members[name].file_size} bytes")
        if "byteorder" in self._members and archive.read(f"{top}byteorder").strip() != b"little":
            raise self._make_error("little-endian storages", "another byte order")
        return read_pickle(archive.read(pickles[0]))

    def locate_tensors(self, state: Mapping[str, object]) -> dict[str, StoredTensor]:
        """Every tensor of a state dict but the buffers, which are not read."""
        return {name: self.locate_tensor(name, value) for name, value in state.items() if not name.endswith(BUFFERS)}

    def locate_tensor(self, name: str, pickled: object) -> StoredTensor:
        """The tensor that the pickle describes, after checking that all of it is inside its storage."""
        if not isinstance(pickled, PickledTensor):
            raise self._make_error("a tensor", type(pickled).__name__, name)
        if pickled.dtype not in FLOAT_STORAGES.values():
            raise self._make_error("a tensor of floats", pickled.dtype, name)
        shape, strides, start = pickled.shape, pickled.strides, pickled.offset
        is_placed = (
            isinstance(shape, tuple)
            and isinstance(strides, tuple)
            and len(shape) == len(strides)
            and are_sizes(shape)
            and are_sizes(strides)
            and are_sizes([start])
            and 0 not in shape
        )
        if not is_placed:
            raise self._make_error("sizes, strides and an offset", reprlib.repr(tuple(pickled)), name)
        offset, size = self._locate_storage(pickled.storage_key, name)
        row_major = [1]
        for length in reversed(shape[1:]):
            row_major.insert(0, row_major[0] * length)
        tensor = StoredTensor(
            file=self._file,
            name=name,
            dtype=pickled.dtype,
            shape=shape,
            offset=offset + start * STORED_DTYPES[pickled.dtype].itemsize,
            strides=None if strides == tuple(row_major) or not shape else strides,
        )
        if tensor.end_offset > offset + size:
            raise self._make_error(f"{tensor.end_offset - offset} bytes of storage", f"{size} bytes", name)
        return tensor

    def _locate_storage(self, key: str, tensor: str) -> tuple[int, int]:
        """Offset and size of the storage in the file, in bytes."""
        member = self._members.get(f"data/{key}")
        if member is None:
            raise self._make_error(f"a storage data/{key}", "no such member", tensor)
        if member.compress_type != zipfile.ZIP_STORED:
            raise self._make_error("an uncompressed storage", f"compression {member.compress_type}", tensor)
        header = self._file.read_bytes(member.header_offset, LOCAL_HEADER.size).tobytes()
        if len(header) != LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise self._make_error(f"a zip entry at byte {member.header_offset}", "something else", tensor)
        _, name_size, extra_size = LOCAL_HEADER.unpack(header)
        offset = member.header_offset + LOCAL_HEADER.size + name_size + extra_size
        if offset + member.file_size > self._file.size_bytes:
            raise self._make_error(f"{offset + member.file_size} bytes", f"{self._file.size_bytes} bytes", tensor)
        return offset, member.file_size

    def _make_error(self, expected: object, found: object, tensor: str = "") -> CheckpointError:
        return CheckpointError(self.path, tensor, expected=expected, found=found)

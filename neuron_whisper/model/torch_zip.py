"""Reading what torch.save wrote, without torch and without running anything the file names.

Not torch.load: `plan`, `compile --dry-run` and servers of compiled artifacts open .pt files on installs without torch.
The file is a zip of uncompressed members: <top>/data.pkl, a pickle of the objects with tensors as references,
and <top>/data/<key>, the raw storages, which are mapped where they lie.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.stored_tensors import STORED_DTYPES, StoredTensor, WeightFile

STORAGES = {"FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"}
MAX_PICKLE_BYTES = 64 << 20  # large-v3's is 0.2 MB; the pickle is read into memory, so it has a limit
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., lengths of the name and of the extra field


class PickledTensor(NamedTuple):
    """A tensor as the pickle describes it: nothing is checked yet. Sizes count elements."""

    dtype: Any
    storage_key: Any
    offset: Any
    shape: Any
    strides: Any


class _Storage(NamedTuple):
    dtype: Any
    key: Any


class _RebuildTensor:
    """Takes the place of torch._utils._rebuild_tensor_v2. No attributes, so that a pickle cannot alter it."""

    __slots__ = ()

    def __call__(self, storage: _Storage, offset: Any, shape: Any, strides: Any, *_: Any) -> PickledTensor:
        return PickledTensor(storage.dtype, storage.key, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """Knows tensors and OrderedDict, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, _size = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"a persistent {kind!r}")
        return _Storage(dtype, key)


class TorchZip:
    """An open torch.save file. Raises CheckpointError when it is none, or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = WeightFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
                if len(pickles) != 1:
                    raise self._make_error("one data.pkl", f"{len(pickles)} of them")
                top = pickles[0].removesuffix("data.pkl")
                self._members = {i.filename.removeprefix(top): i for i in archive.infolist()}
                if self._members["data.pkl"].file_size > MAX_PICKLE_BYTES:
                    raise self._make_error(f"data.pkl below {MAX_PICKLE_BYTES} bytes", "a larger one")
                if "byteorder" in self._members and archive.read(f"{top}byteorder").strip() != b"little":
                    raise self._make_error("little-endian storages", "another byte order")
                with archive.open(pickles[0]) as stream:
                    self.contents = self._unpickle(stream)
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise self._make_error("a zip file as torch.save writes it", error) from error

    def locate_tensor(self, name: str, pickled: object) -> StoredTensor:
        """The tensor that the pickle describes, after checking that all of it is inside its storage."""
        if not isinstance(pickled, PickledTensor) or pickled.dtype not in STORAGES.values():
            raise self._make_error("a tensor of floats", type(pickled).__name__, name)
        shape, strides, start = pickled.shape, pickled.strides, pickled.offset
        numbers = (start, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else ()
        if (
            not all(type(number) is int and number >= 0 for number in numbers)
            or len(numbers) != 1 + 2 * len(shape)
            or 0 in shape
        ):
            raise self._make_error("sizes, strides and an offset", pickled, name)
        offset, size = self._locate_storage(str(pickled.storage_key), name)
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

    def _unpickle(self, stream: IO[bytes]) -> Any:
        try:
            return _Unpickler(stream).load()
        except pickle.UnpicklingError as error:
            raise self._make_error("tensors and nothing else", error) from error
        except zipfile.BadZipFile:
            raise
        except Exception as error:  # a damaged pickle can fail in any way; none of them is ours
            raise self._make_error("a readable data.pkl", repr(error)) from error

    def _make_error(self, expected: object, found: object, tensor: str = "") -> CheckpointError:
        return CheckpointError(self.path, tensor, expected=expected, found=found)

"""Reading the pickle in a torch.save file without running anything that it names.

A machine of its own, not pickle.Unpickler: that one allocates a memo of any size, and hashes keys of any depth.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

FLOAT_STORAGES = {"FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"}
# Of buffers, which are located and never read.
OTHER_STORAGES = (
    "DoubleStorage",
    "BoolStorage",
    "ByteStorage",
    "CharStorage",
    "ShortStorage",
    "IntStorage",
    "LongStorage",
)
NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT", "FLOAT"})
TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"})
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleRefused(ValueError):
    """The pickle names something else than tensors, or is damaged."""


class PickledTensor(NamedTuple):
    """A tensor as the pickle describes it: nothing is checked yet. Sizes count elements."""

    dtype: Any
    storage_key: Any
    offset: Any
    shape: Any
    strides: Any


class Unreadable(NamedTuple):
    """What stands for an object that is not read, such as a sparse tensor."""

    name: str


class _Storage(NamedTuple):
    dtype: Any
    key: Any


class _Name(NamedTuple):
    """A class or function that the pickle names, one of those below."""

    module: str
    name: str


_Mark = object()


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> PickledTensor:
    if not isinstance(storage, _Storage):
        raise PickleRefused("a tensor without a storage")
    return PickledTensor(storage.dtype, storage.key, offset, shape, strides)


def _make_dict(*items: Any) -> dict[str, Any]:
    if items:
        raise PickleRefused("an OrderedDict with items")
    return {}


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _make_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch._utils", "_rebuild_sparse_tensor"): lambda *_: Unreadable("a sparse tensor"),
    ("torch.serialization", "_get_layout"): lambda *_: Unreadable("a layout"),
    ("torch", "Size"): lambda *items: tuple(items[0]) if items and isinstance(items[0], tuple | list) else (),
}


def read_pickle(content: bytes) -> Any:
    """Tensors, dicts with text as keys, lists, tuples, text and numbers. Raises PickleRefused for anything else."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, argument)
    except PickleRefused:
        raise
    except Exception as error:  # a damaged pickle can fail in any way; none of them is ours
        raise PickleRefused(f"{type(error).__name__}: {error}"[:200]) from None
    raise PickleRefused("no end")


class _Machine:
    """The stack and the memo of a pickle. Every step costs a constant, or what it takes from the stack."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _Mark:
            raise PickleRefused("an empty stack")
        return self.stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _Mark:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise PickleRefused("no mark")

    def run(self, name: str, argument: Any) -> None:
        if name in NUMBERS or name in TEXTS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(TUPLES[name])])))
        elif (step := _STEPS.get(name)) is not None:
            step(self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise PickleRefused(f"the opcode {name}")

    def mark(self, _: Any) -> None:
        self.stack.append(_Mark)

    def make_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_to_mark()))

    def make_dict(self, _: Any) -> None:
        self.stack.append({})

    def make_list(self, _: Any) -> None:
        self.stack.append([])

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self._pop_to_mark())

    def _set(self, items: list[Any]) -> None:
        table = self.pop()
        keys = items[::2]
        if not isinstance(table, dict) or len(items) % 2 or not all(isinstance(key, str) for key in keys):
            raise PickleRefused("a dict with other keys than text")
        table.update(zip(keys, items[1::2], strict=True))
        self.stack.append(table)

    def append(self, _: Any) -> None:
        self._extend([self.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            raise PickleRefused("items of no list")
        target.extend(items)
        self.stack.append(target)

    def find_name(self, argument: str) -> None:
        self._find(*argument.split(" ", 1))

    def find_stacked_name(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self._find(str(module)[:100], str(name)[:100]) if isinstance(name, str) and isinstance(
            module, str
        ) else self._find()

    def _find(self, module: str = "", name: str = "") -> None:
        is_storage = module == "torch" and (name in FLOAT_STORAGES or name in OTHER_STORAGES)
        if not is_storage and (module, name) not in _CALLS:
            raise PickleRefused(f"{module}.{name}"[:200])
        self.stack.append(_Name(module, name))

    def reduce(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise PickleRefused("a call of no function")
        if (call := _CALLS.get((function.module, function.name))) is None:
            raise PickleRefused(f"a call of {function.module}.{function.name}")
        self.stack.append(call(*arguments))

    def build(self, _: Any) -> None:
        """State of an object, such as a state dict's _metadata: not read."""
        self.pop()
        if not isinstance(self.stack[-1], dict):
            raise PickleRefused("state for no dict")

    def load_storage(self, _: Any) -> None:
        match self.pop():
            case ("storage", _Name(module="torch", name=name), str(key), _, _):
                self.stack.append(_Storage(FLOAT_STORAGES.get(name, name), key))
            case _:
                raise PickleRefused("a persistent object that is no storage")

    def put(self, index: int) -> None:
        self.memo[index] = self._peek()

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self._peek()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise PickleRefused(f"no memo {index}")
        self.stack.append(self.memo[index])

    def _peek(self) -> Any:
        if not self.stack or self.stack[-1] is _Mark:
            raise PickleRefused("an empty stack")
        return self.stack[-1]

    def discard(self, _: Any) -> None:
        self.pop()


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "EMPTY_DICT": _Machine.make_dict,
    "EMPTY_LIST": _Machine.make_list,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "GLOBAL": _Machine.find_name,
    "STACK_GLOBAL": _Machine.find_stacked_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.load_storage,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "POP": _Machine.discard,
}

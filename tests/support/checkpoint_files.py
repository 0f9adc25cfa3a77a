"""Small checkpoints in every format, each written by the format's description and not by the readers' tables."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from neuron_whisper.model.checkpoint import Checkpoint, expected_shapes
from neuron_whisper.model.dims import WhisperDims

Weights = dict[str, NDArray[Any]]


DIMS = WhisperDims(
    n_mels=80,
    n_audio_ctx=6,
    n_audio_state=8,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=30,
    n_text_ctx=5,
    n_text_state=8,
    n_text_head=2,
    n_text_layer=1,
)


TYPE_IDS = {"float32": 0, "int8": 1, "int16": 2, "float16": 4, "bfloat16": 5}


def make_weights() -> Weights:
    rng = np.random.default_rng(7)
    return {n: rng.standard_normal(s).astype(np.float16) for n, s in expected_shapes(DIMS).items()}


WEIGHTS = make_weights()


def hf_names(weights: Weights) -> Weights:
    out = {}
    for name, value in weights.items():
        for ours, theirs in (
            ("blocks", "layers"),
            ("mlp.0", "fc1"),
            ("mlp.2", "fc2"),
            ("mlp_ln", "final_layer_norm"),
            ("cross_attn_ln", "encoder_attn_layer_norm"),
            ("attn_ln", "self_attn_layer_norm"),
            ("cross_attn.", "encoder_attn."),
            (".attn.", ".self_attn."),
            ("query", "q_proj"),
            ("key", "k_proj"),
            ("value", "v_proj"),
            ("attn.out", "attn.out_proj"),
            ("ln_post", "layer_norm"),
            ("decoder.ln.", "decoder.layer_norm."),
            ("token_embedding", "embed_tokens"),
            ("positional_embedding", "embed_positions.weight"),
        ):
            name = name.replace(ours, theirs)
        out[f"model.{name}"] = value
    return out


def hf_config() -> dict[str, Any]:
    return {
        "model_type": "whisper",
        "num_mel_bins": 80,
        "max_source_positions": 6,
        "d_model": 8,
        "encoder_attention_heads": 2,
        "encoder_layers": 2,
        "vocab_size": 30,
        "max_target_positions": 5,
        "decoder_attention_heads": 2,
        "decoder_layers": 1,
    }


def write_hf(directory: Path, tensors: Weights | None = None, heads: Any = None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(hf_config()))
    (directory / "generation_config.json").write_text(json.dumps({"alignment_heads": heads or [[0, 1]]}))
    (directory / "tokenizer.json").write_text("{}")
    save_file(hf_names(WEIGHTS) if tensors is None else tensors, directory / "model.safetensors")
    return directory


def write_sharded_hf(directory: Path) -> Path:
    write_hf(directory)
    (directory / "model.safetensors").unlink()
    tensors = hf_names(WEIGHTS)
    weight_map: dict[str, str] = {}
    for shard in (0, 1):
        name = f"model-{shard + 1:05}-of-00002.safetensors"
        part = {key: value for i, (key, value) in enumerate(tensors.items()) if i % 2 == shard}
        save_file(part, directory / name)
        weight_map |= dict.fromkeys(part, name)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return directory


def bfloat16_bits(value: NDArray[Any]) -> NDArray[np.uint16]:
    return (value.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def write_bfloat16_hf(directory: Path) -> Path:
    """Written by hand: safetensors.numpy has no bfloat16."""
    write_hf(directory)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, value in hf_names(WEIGHTS).items():
        raw = bfloat16_bits(value).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return directory


class CT2:
    """The variables of a model.bin in the making."""

    def __init__(self, weights: Weights = WEIGHTS, kind: str = "float16") -> None:
        self.variables: dict[str, tuple[int, tuple[int, ...], bytes]] = {}
        self.aliases = {"decoder/projection/weight": "decoder/embeddings/weight"}
        self.kind, self.weights = kind, weights
        for side in ("encoder", "decoder"):
            self.scalar(f"{side}/num_heads", "<h", 2, 2)
        self.scalar("decoder/pre_norm", "b", 1, 1)
        self.scalar("decoder/activation", "b", 1, 3)
        for conv in ("conv1", "conv2"):
            self.matrix(f"encoder/{conv}/weight", [f"encoder.{conv}.weight"])
            self.plain(f"encoder/{conv}/bias", weights[f"encoder.{conv}.bias"])
        for side, n_layers in (("encoder", 2), ("decoder", 1)):
            positions = weights[f"{side}.positional_embedding"]
            self.plain(f"{side}/position_encodings/encodings", positions)
            self.norm(f"{side}/layer_norm", "encoder.ln_post" if side == "encoder" else "decoder.ln")
            for layer in range(n_layers):
                here, block = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
                self.linear(f"{here}/self_attention/linear_0", f"{block}.attn", "query", "key", "value")
                self.linear(f"{here}/self_attention/linear_1", f"{block}.attn", "out")
                self.norm(f"{here}/self_attention/layer_norm", f"{block}.attn_ln")
                if side == "decoder":
                    self.linear(f"{here}/attention/linear_0", f"{block}.cross_attn", "query")
                    self.linear(f"{here}/attention/linear_1", f"{block}.cross_attn", "key", "value")
                    self.linear(f"{here}/attention/linear_2", f"{block}.cross_attn", "out")
                    self.norm(f"{here}/attention/layer_norm", f"{block}.cross_attn_ln")
                self.linear(f"{here}/ffn/linear_0", block, "mlp.0")
                self.linear(f"{here}/ffn/linear_1", block, "mlp.2")
                self.norm(f"{here}/ffn/layer_norm", f"{block}.mlp_ln")
        self.matrix("decoder/embeddings/weight", ["decoder.token_embedding.weight"])

    def scalar(self, name: str, code: str, type_id: int, value: int) -> None:
        self.variables[name] = (type_id, (), struct.pack(code, value))

    def plain(self, name: str, value: NDArray[Any], kind: str = "") -> None:
        kind = kind or {"int8": "float32", "int16": "float32"}.get(self.kind, self.kind)
        raw = bfloat16_bits(value) if kind == "bfloat16" else value.astype(kind)
        self.variables[name] = (TYPE_IDS[kind], value.shape, raw.tobytes())

    def matrix(self, name: str, sources: list[str]) -> None:
        value = np.concatenate([self.weights[source] for source in sources])
        if self.kind not in ("int8", "int16"):
            return self.plain(name, value)
        whole = value.astype(np.float32)
        rows = tuple(range(1, whole.ndim))
        if self.kind == "int8":
            scale = 127 / np.abs(whole).max(axis=rows)
            quantised = np.rint(whole * scale.reshape(-1, *[1] * len(rows)))
        else:
            scale = np.float32(1024 / np.abs(whole).max())
            quantised = np.rint(whole * scale)
        self.plain(name, quantised, self.kind)
        return self.plain(f"{name}_scale", np.asarray(scale), "float32")

    def linear(self, name: str, block: str, *parts: str) -> None:
        self.matrix(f"{name}/weight", [f"{block}.{part}.weight" for part in parts])
        zeros = np.zeros(8, np.float16)
        biases = [self.weights.get(f"{block}.{part}.bias", zeros) for part in parts]
        self.plain(f"{name}/bias", np.concatenate(biases))

    def norm(self, name: str, ours: str) -> None:
        self.plain(f"{name}/gamma", self.weights[f"{ours}.weight"])
        self.plain(f"{name}/beta", self.weights[f"{ours}.bias"])

    def bytes(self) -> bytes:
        def text(value: str) -> bytes:
            return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

        out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(self.variables))
        for name, (type_id, shape, raw) in self.variables.items():
            out += text(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
            out += struct.pack("<BI", type_id, len(raw)) + raw
        out += struct.pack("<I", len(self.aliases))
        return out + b"".join(text(a) + text(b) for a, b in self.aliases.items())

    def write(self, directory: Path, parts: int = 1) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps({"alignment_heads": [[0, 1]]}))
        (directory / "tokenizer.json").write_text("{}")
        raw = self.bytes()
        if parts == 1:
            (directory / "model.bin").write_bytes(raw)
        for part in range(parts if parts > 1 else 0):
            cut = slice(part * len(raw) // parts, (part + 1) * len(raw) // parts)
            (directory / f"model.bin.part{part + 1}").write_bytes(raw[cut])
        return directory


def opcodes(value: object) -> bytes:
    """The value as torch.save pickles it (protocol 2); an array stands for (storage key, tensor)."""
    match value:
        case (str(key), np.ndarray() as array):
            kind = {"float16": b"Half", "float32": b"Float"}[array.dtype.name]
            storage = opcodes("storage") + b"ctorch\n" + kind + b"Storage\n" + opcodes(key)
            storage = b"(" + storage + opcodes("cpu") + opcodes(array.size) + b"tQ"
            strides = tuple(stride // array.itemsize for stride in array.strides)
            arguments = storage + b"".join(map(opcodes, (0, array.shape, strides)))
            hooks = b"ccollections\nOrderedDict\n)R"
            return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89" + hooks + b"tR"
        case str():
            return b"X" + struct.pack("<I", len(value)) + value.encode()
        case int():
            return b"J" + struct.pack("<i", value)
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case dict():
            return b"}(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"
    raise TypeError(type(value))


def write_torch_zip(path: Path, wrap: Callable[[dict[str, Any]], Any], tensors: Weights) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, value in enumerate(tensors.values()):
            archive.writestr(f"x/data/{i}", value.tobytes("A"))  # in the order of memory, which strides describe
        state = {name: (str(i), value) for i, (name, value) in enumerate(tensors.items())}
        archive.writestr("x/data.pkl", b"\x80\x02" + opcodes(wrap(state)) + b".")
        archive.writestr("x/byteorder", "little")
    return path


def write_openai(path: Path, tensors: Weights | None = None) -> Path:
    weights = WEIGHTS if tensors is None else tensors
    return write_torch_zip(path, lambda state: {"dims": asdict(DIMS), "model_state_dict": state}, weights)


def write_bin_hf(directory: Path) -> Path:
    write_hf(directory)
    (directory / "model.safetensors").unlink()
    write_torch_zip(directory / "pytorch_model.bin", dict, hf_names(WEIGHTS))
    return directory


def all_equal(checkpoint: Checkpoint) -> bool:
    return checkpoint.parameter_names == tuple(WEIGHTS) and all(
        np.array_equal(checkpoint.tensor(name), value) for name, value in WEIGHTS.items()
    )


WRITERS: dict[str, Callable[[Path], Path]] = {
    "safetensors": lambda tmp: write_hf(tmp / "hf"),
    "sharded safetensors": lambda tmp: write_sharded_hf(tmp / "hf"),
    "pytorch_model.bin": lambda tmp: write_bin_hf(tmp / "hf"),
    "ctranslate2": lambda tmp: CT2().write(tmp / "ct2"),
    "ctranslate2 in 3 parts": lambda tmp: CT2().write(tmp / "ct2", parts=3),
    "openai": lambda tmp: write_openai(tmp / "model.pt"),
}

"""Every form of a checkpoint gives the same tensors, and a wrong one says what is wrong with it."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import Checkpoint, expected_shapes, open_checkpoint
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.openai_heads import find_alignment_heads
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from tests.support.paths import ROOT

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


# --- writers: each format by its own description, and not by the readers' tables -----------------


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


# --- what is the same in every format ------------------------------------------------------------

WRITERS: dict[str, Callable[[Path], Path]] = {
    "safetensors": lambda tmp: write_hf(tmp / "hf"),
    "sharded safetensors": lambda tmp: write_sharded_hf(tmp / "hf"),
    "pytorch_model.bin": lambda tmp: write_bin_hf(tmp / "hf"),
    "ctranslate2": lambda tmp: CT2().write(tmp / "ct2"),
    "ctranslate2 in 3 parts": lambda tmp: CT2().write(tmp / "ct2", parts=3),
    "openai": lambda tmp: write_openai(tmp / "model.pt"),
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_names_dims_and_values(form: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(WRITERS[form](tmp_path))
    assert checkpoint.dims == DIMS
    assert checkpoint.dtype == "float16"
    assert all_equal(checkpoint)


@pytest.mark.parametrize("form", WRITERS)
def test_tensors_are_read_only_aligned_and_as_stored(form: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(WRITERS[form](tmp_path))
    for name in checkpoint.parameter_names:
        value = checkpoint.tensor(name)
        assert value.dtype == np.float16
        assert not value.flags.writeable
        assert value.flags.aligned


def test_only_configured_formats_name_alignment_heads_and_a_tokenizer(tmp_path: Path) -> None:
    forms = ("safetensors", "ctranslate2", "openai")
    hf, ct2, pt = (open_checkpoint(WRITERS[form](tmp_path)) for form in forms)
    assert [c.format for c in (hf, ct2, pt)] == ["huggingface", "ctranslate2", "openai"]
    assert [c.alignment_heads for c in (hf, ct2, pt)] == [((0, 1),), ((0, 1),), None]
    assert [c.tokenizer_file and c.tokenizer_file.parent.name for c in (hf, ct2, pt)] == ["hf", "ct2", None]


def test_alignment_heads_of_a_deeper_teacher_are_dropped(tmp_path: Path) -> None:
    assert open_checkpoint(write_hf(tmp_path, heads=[[0, 1], [17, 0]])).alignment_heads is None


def test_a_pt_written_by_torch_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="not proved: that torch.save still writes what is read here")
    state = {name: torch.from_numpy(value.copy()) for name, value in WEIGHTS.items()}
    torch.save({"dims": asdict(DIMS), "model_state_dict": state}, tmp_path / "model.pt")
    assert all_equal(open_checkpoint(tmp_path / "model.pt"))


def test_a_column_major_tensor_is_read_by_its_strides(tmp_path: Path) -> None:
    name = "decoder.blocks.0.mlp.0.weight"
    path = write_openai(tmp_path / "model.pt", WEIGHTS | {name: np.asfortranarray(WEIGHTS[name])})
    assert all_equal(open_checkpoint(path))


def test_bfloat16_becomes_float32_with_the_same_bits(tmp_path: Path) -> None:
    for path in (write_bfloat16_hf(tmp_path / "hf"), CT2(kind="bfloat16").write(tmp_path / "ct2")):
        checkpoint = open_checkpoint(path)
        assert checkpoint.dtype == "bfloat16"
        for name, value in WEIGHTS.items():
            wanted = (bfloat16_bits(value).astype(np.uint32) << 16).view(np.float32)
            assert np.array_equal(checkpoint.tensor(name), wanted), name


@pytest.mark.parametrize(("kind", "levels"), [("int8", 127), ("int16", 1024)])
def test_scaled_integers_are_within_half_a_level_of_the_value(kind: str, levels: int, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(CT2(kind=kind).write(tmp_path))
    assert checkpoint.dtype == kind
    for name, value in WEIGHTS.items():
        found = checkpoint.tensor(name)
        assert found.dtype == np.float32
        # A fused matrix shares one int16 scale, so the largest weight of all bounds the level.
        largest = max(float(np.abs(weight).max()) for weight in WEIGHTS.values())
        assert np.abs(found - value.astype(np.float32)).max() <= 0.51 * largest / levels, name


def test_encoder_positions_left_out_are_whispers_sinusoids(tmp_path: Path) -> None:
    tensors = hf_names(WEIGHTS)
    del tensors["model.encoder.embed_positions.weight"]
    found = open_checkpoint(write_hf(tmp_path, tensors)).tensor("encoder.positional_embedding")
    # Position 1 of 8 channels: rates 1, 10000^(-1/3), 10000^(-2/3), 1/10000.
    rates = np.array([1, 0.046415888, 0.0021544347, 0.0001])
    assert found.shape == (6, 8)
    np.testing.assert_allclose(found[1], [*np.sin(rates), *np.cos(rates)], rtol=1e-6)


def test_a_tied_output_projection_is_accepted_and_an_untied_one_refused(tmp_path: Path) -> None:
    tensors = hf_names(WEIGHTS)
    embedding = tensors["model.decoder.embed_tokens.weight"]
    assert all_equal(open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding.copy()})))
    with pytest.raises(CheckpointError, match=r"proj_out\.weight: expected the token embedding again"):
        open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding + 1}))


def test_digests_cover_weights_and_configs_and_see_a_flipped_bit(tmp_path: Path) -> None:
    path, cache = write_hf(tmp_path / "hf"), tmp_path / "digests"
    before = open_checkpoint(path).compute_digests(cache)
    assert sorted(before) == ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
    assert before["tokenizer.json"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert open_checkpoint(path).compute_digests(cache) == before == open_checkpoint(path).compute_digests()
    raw = bytearray((path / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (path / "model.safetensors").write_bytes(raw)
    after = open_checkpoint(path).compute_digests(cache)
    assert [name for name in after if after[name] != before[name]] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({}, {"suppress_tokens": [1, 2]}, (1, 2)),
        ({"suppress_tokens": [3]}, {"suppress_tokens": [1, 2]}, (1, 2)),
        ({"suppress_tokens": [3]}, {}, None),
        ({"suppress_tokens": [3]}, None, (3,)),
        ({}, {"suppress_tokens": []}, ()),
        ({}, {"suppress_tokens": None}, None),
    ],
)
def test_suppressed_tokens_come_from_the_generation_settings_or_from_a_config_of_before_there_were_any(
    config: dict[str, Any], generation: dict[str, Any] | None, expected: tuple[int, ...] | None, tmp_path: Path
) -> None:
    write_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(hf_config() | config))
    (tmp_path / "generation_config.json").unlink()
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert open_checkpoint(tmp_path).suppress_tokens == expected


@pytest.mark.parametrize("value", ["1, 2", [-1], [1.5], [True], {"1": 2}])
def test_suppressed_tokens_that_are_no_list_of_ids_are_refused(value: Any, tmp_path: Path) -> None:
    write_hf(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"suppress_tokens": value}))
    with pytest.raises(CheckpointError, match="suppress_tokens"):
        open_checkpoint(tmp_path)


def test_files_of_a_slow_tokenizer_count_as_part_of_the_checkpoint_only_without_a_tokenizer_json(
    tmp_path: Path,
) -> None:
    write_hf(tmp_path)
    (tmp_path / "vocab.json").touch()
    assert "vocab.json" not in open_checkpoint(tmp_path).compute_digests()
    (tmp_path / "tokenizer.json").unlink()
    assert "vocab.json" in open_checkpoint(tmp_path).compute_digests()


def test_no_reader_imports_torch() -> None:
    modules = "neuron_whisper.model.checkpoint, neuron_whisper.model.sources"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- what is wrong with a checkpoint -------------------------------------------------------------


def change_weights(change: str) -> Weights:
    tensors = dict(WEIGHTS)
    match change:
        case "missing":
            del tensors["decoder.ln.bias"]
        case "misshapen":
            tensors["decoder.ln.bias"] = np.zeros(9, np.float16)
        case "surplus":
            tensors["decoder.extra.bias"] = np.zeros(9, np.float16)
    return tensors


@pytest.mark.parametrize(
    ("change", "tensor", "expected", "found"),
    [
        ("missing", "decoder.ln.bias", "shape (8,)", "no such tensor"),
        ("misshapen", "decoder.ln.bias", "shape (8,)", "shape (9,)"),
        ("surplus", "decoder.extra.bias", "no tensor of this name", "shape (9,)"),
    ],
)
def test_a_wrong_tensor_is_named_with_what_was_expected_and_found(
    change: str, tensor: str, expected: str, found: str, tmp_path: Path
) -> None:
    hf = write_hf(tmp_path / "hf", hf_names(change_weights(change)))
    ct2 = CT2()
    beta = "decoder/layer_norm/beta"
    if change == "missing":
        del ct2.variables[beta]
    else:
        ct2.plain(beta if change == "misshapen" else "decoder/extra/bias", np.zeros(9, np.float16))
    ct2.write(tmp_path / "ct2")
    pt = write_openai(tmp_path / "model.pt", change_weights(change))
    in_ct2 = "decoder/extra/bias" if change == "surplus" else beta
    for path, file, name in (
        (hf, hf / "model.safetensors", tensor.replace(".ln.", ".layer_norm.")),
        (tmp_path / "ct2", tmp_path / "ct2" / "model.bin", in_ct2),
        (pt, pt, tensor),
    ):
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        error = caught.value
        assert (error.file, error.tensor, error.expected, error.found) == (file, name, expected, found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(WRITERS)), share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_weight_file_is_refused_wherever_it_is_cut(
    form: str, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = WRITERS[form](tmp_path_factory.mktemp("cut"))
    files = open_checkpoint(path).files
    for file in files[-1:]:
        raw = file.read_bytes()
        file.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert caught.value.file in files


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(WRITERS)), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_the_shapes_of_its_dims_or_a_checkpoint_error(
    form: str, share: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = WRITERS[form](tmp_path_factory.mktemp("flip"))
    file = open_checkpoint(path).files[-1]
    raw = bytearray(file.read_bytes())
    raw[int(share * len(raw))] ^= 1 << bit
    file.write_bytes(raw)
    try:
        checkpoint = open_checkpoint(path)
    except CheckpointError:
        return
    shapes = {name: checkpoint.tensor(name).shape for name in checkpoint.parameter_names}
    assert shapes == expected_shapes(checkpoint.dims)


def test_bytes_behind_the_last_tensor_are_refused(tmp_path: Path) -> None:
    hf, ct2 = write_hf(tmp_path / "hf"), CT2().write(tmp_path / "ct2")
    for path in (hf / "model.safetensors", ct2 / "model.bin"):
        size = path.stat().st_size
        with path.open("ab") as file:
            file.write(b"\0")
        with pytest.raises(CheckpointError, match=f"expected {size} bytes, found {size + 1} bytes"):
            open_checkpoint(path.parent)


def test_a_part_missing_between_others_is_named(tmp_path: Path) -> None:
    (CT2().write(tmp_path, parts=3) / "model.bin.part2").unlink()
    with pytest.raises(CheckpointError, match=r"model.bin.part2: expected 3 parts"):
        open_checkpoint(tmp_path)


def test_another_activation_or_spec_is_refused(tmp_path: Path) -> None:
    model = CT2()
    model.scalar("decoder/activation", "b", 1, 0)
    with pytest.raises(CheckpointError, match="decoder/activation: expected 3, found 0"):
        open_checkpoint(model.write(tmp_path / "ct2"))
    hf = write_hf(tmp_path / "hf")
    (hf / "config.json").write_text(json.dumps(hf_config() | {"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="model_type 'whisper', found 'bert'"):
        open_checkpoint(hf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": None}, "n_audio_state to be an integer"),
        ({"d_model": "8"}, "n_audio_state to be an integer"),
        ({"encoder_layers": 10**9}, "n_audio_layer to be an integer from 1 to 256, found 1000000000"),
        ({"encoder_attention_heads": 3}, "a multiple of n_audio_head = 3, found 8"),
    ],
)
def test_dims_that_no_whisper_has_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(hf_config() | change))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_a_config_without_a_field_names_it(tmp_path: Path) -> None:
    config = hf_config()
    del config["d_model"]
    write_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config.json: expected a field 'd_model'"):
        open_checkpoint(tmp_path)


def test_a_shard_elsewhere_is_refused(tmp_path: Path) -> None:
    index = write_sharded_hf(tmp_path) / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(CheckpointError, match="files in its directory"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"cos\nsystem\n(S'touch pwned'\ntR.", r"found os\.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", r"found builtins\.eval"),
        (b"ctorch\nload\n(S'x'\ntR.", r"found torch\.load"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}S'__call__'\nI1\nsb.", "AttributeError"),  # altering ours
        (b"(tQ.", "ValueError"),
        (b"", "EOFError"),
        (b"}.", "expected dims and model_state_dict"),
    ],
)
def test_a_pickle_that_names_anything_but_tensors_is_refused(
    payload: bytes, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("x/data.pkl", payload)
    with pytest.raises(CheckpointError, match=found):
        open_checkpoint(tmp_path / "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    path = write_openai(tmp_path / "model.pt")
    short = tmp_path / "short.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(short, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[: 10 if name == "x/data/0" else None])
    with pytest.raises(CheckpointError, match=r"conv1.weight: expected 3840 bytes of storage, found 10"):
        open_checkpoint(short)


@pytest.mark.parametrize("name", ["nothing", "empty", "notes.txt"])
def test_a_path_without_a_checkpoint_says_what_would_be_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"a .pt file, or a directory with model.safetensors"):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["tiny.en", "tiny", "base.en", "base", "small", "medium", "large-v2", "large-v3", "turbo"]
)
def test_a_pt_file_has_the_alignment_heads_that_openai_chose_for_its_model(name: str) -> None:
    whisper = pytest.importorskip("whisper", reason="not proved that the heads are openai-whisper's")
    published = {"turbo": "large-v3-turbo"}.get(name, name)
    dims = PUBLISHED_DIMS[published]
    mask = np.frombuffer(gzip.decompress(base64.b85decode(whisper._ALIGNMENT_HEADS[name])), np.bool_)
    theirs = np.argwhere(mask.reshape(dims.n_text_layer, dims.n_text_head)).tolist()
    assert find_alignment_heads(dims, published) == theirs


def test_a_pt_file_of_no_model_that_openai_made_has_none() -> None:
    assert find_alignment_heads(DIMS, "base") is None
    assert find_alignment_heads(PUBLISHED_DIMS["large-v2"], "my-model") is None, "large-v1 has the same dimensions"
    assert find_alignment_heads(PUBLISHED_DIMS["distil-large-v3"], "distil-large-v3") is None

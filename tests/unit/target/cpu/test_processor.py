"""What a session does on each kind of processor, from its flags and OpenVINO's capabilities; sessions do the same."""

from __future__ import annotations

import platform
from importlib.metadata import version

import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.host.hardware import RELEVANT_FLAGS, detect_instruction_sets
from neuron_whisper.profile import list_profiles
from neuron_whisper.target.cpu.processor import (
    Processor,
    ProfilePlan,
    choose_arithmetic,
    keeps_kv_in_blocks,
    plan_processor,
    plan_profile,
    plan_this_machine,
)
from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.paged_caches import PagedCaches
from tests.support.tiny_program import spec

DTYPES = {"cpu": "bfloat16", "cpu-exact": "float32"}
COMMON = ("FP32", "INT8", "BIN", "EXPORT_IMPORT")
# OpenVINO 2026.4.1 names these for such flags: read where CPUID was masked, and on ARM under QEMU
ZEN_4 = Processor(
    machine="x86_64",
    instruction_sets=("avx2", "avx512f", "avx512_vnni", "avx512_bf16"),
    capabilities=("BF16", "WINOGRAD", *COMMON),
    openvino="2026.4.1",
)
ICE_LAKE = Processor(
    machine="x86_64",
    instruction_sets=("avx2", "avx512f", "avx512_vnni"),
    capabilities=("WINOGRAD", *COMMON),
    openvino="2026.4.1",
)
SKYLAKE_X = Processor(
    machine="x86_64",
    instruction_sets=("avx2", "avx512f"),
    capabilities=("WINOGRAD", *COMMON),
    openvino="2026.4.1",
)
ZEN_2 = Processor(machine="x86_64", instruction_sets=("avx2",), capabilities=COMMON, openvino="2026.4.1")
ALDER_LAKE = Processor(
    machine="x86_64", instruction_sets=("avx2", "avx_vnni"), capabilities=COMMON, openvino="2026.4.1"
)
SAPPHIRE_RAPIDS = Processor(
    machine="x86_64",
    instruction_sets=("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    capabilities=("BF16", "FP16", "WINOGRAD", *COMMON),
    openvino="2026.4.1",
)
SANDY_BRIDGE = Processor(machine="x86_64", instruction_sets=(), capabilities=COMMON, openvino="2026.4.1")
CORTEX_A72 = Processor(machine="aarch64", instruction_sets=("asimd",), capabilities=COMMON, openvino="2026.4.1")
GRAVITON_3 = Processor(
    machine="aarch64",
    instruction_sets=("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
    capabilities=("FP16", *COMMON),
    openvino="2026.4.1",
)
ZEN_2_OTHER_OPENVINO = Processor(machine="x86_64", instruction_sets=("avx2",), capabilities=COMMON, openvino="2027.0.0")
PROCESSORS = {name: it for name, it in globals().items() if isinstance(it, Processor)}


@pytest.mark.parametrize(
    ("name", "cpu", "exact"),
    [
        # (arithmetic, place of K/V, type of K/V)
        ("ZEN_4", ("bfloat16", "contiguous", "bfloat16"), ("float32", "contiguous", "float32")),
        ("SAPPHIRE_RAPIDS", ("bfloat16", "contiguous", "bfloat16"), ("float32", "contiguous", "float32")),
        ("ICE_LAKE", ("float32", "in blocks", "float16"), ("float32", "in blocks", "float32")),
        ("SKYLAKE_X", ("float32", "in blocks", "float16"), ("float32", "in blocks", "float32")),
        ("ZEN_2", ("float32", "in blocks", "float16"), ("float32", "in blocks", "float32")),
        ("ALDER_LAKE", ("float32", "in blocks", "float16"), ("float32", "in blocks", "float32")),
        ("ZEN_2_OTHER_OPENVINO", ("float32", "contiguous", "bfloat16"), ("float32", "contiguous", "float32")),
        ("SANDY_BRIDGE", ("float32", "contiguous", "bfloat16"), ("float32", "contiguous", "float32")),
        ("CORTEX_A72", ("float32", "contiguous", "bfloat16"), ("float32", "contiguous", "float32")),
        ("GRAVITON_3", ("float32", "contiguous", "bfloat16"), ("float32", "contiguous", "float32")),
    ],
)
def test_each_kind_of_processor_has_its_number_type_and_place_of_kv(
    name: str, cpu: tuple[str, str, str], exact: tuple[str, str, str]
) -> None:
    plans = plan_processor(PROCESSORS[name], DTYPES).profiles
    assert [(it.arithmetic, it.kv_layout, it.kv_dtype) for it in plans] == [cpu, exact]
    assert [it.profile for it in plans] == list(DTYPES)


@pytest.mark.parametrize(
    ("name", "gains", "named"),
    [
        ("ZEN_4", True, "avx512_vnni"),
        ("ICE_LAKE", True, "avx512_vnni"),
        ("ALDER_LAKE", True, "avx_vnni"),
        ("SAPPHIRE_RAPIDS", True, "amx_int8"),
        ("ZEN_2", False, "avx_vnni"),
        ("SKYLAKE_X", False, "avx512_vnni"),
        ("SANDY_BRIDGE", False, "amx_int8"),
        ("GRAVITON_3", None, "ARM"),
    ],
)
def test_8_bit_products_gain_where_there_are_dot_products_and_are_unknown_on_arm(
    name: str, gains: bool | None, named: str
) -> None:
    plan = plan_processor(PROCESSORS[name], DTYPES)
    assert plan.int8_gains is gains
    assert named in plan.int8_reason


def test_only_kinds_that_were_measured_say_so() -> None:
    measured = {name for name, it in PROCESSORS.items() if plan_processor(it, DTYPES).is_measured}
    assert measured == {"ZEN_4", "ZEN_2"}
    for name, it in PROCESSORS.items():
        plan = plan_processor(it, DTYPES)
        assert plan.is_measured is ("not measured" not in plan.reason), name
        assert plan.recommended == "cpu"


@given(
    st.sampled_from(["float32", "bfloat16", "float16"]),
    st.sets(st.sampled_from(RELEVANT_FLAGS["x86_64"] + RELEVANT_FLAGS["aarch64"])),
    st.sets(st.sampled_from(["BF16", "FP16", *COMMON])),
    st.sampled_from(["2026.4.0", "2026.4.1", "2026.3.0", "2027.0.0"]),
)
def test_the_plan_is_what_the_caches_of_a_session_ask_of_openvino(
    dtype: str, sets: set[str], capabilities: set[str], openvino: str
) -> None:
    processor = Processor(
        machine="x86_64", instruction_sets=tuple(sets), capabilities=tuple(capabilities), openvino=openvino
    )
    plan = plan_profile("mine", dtype, processor)
    caches = (PagedCaches if keeps_kv_in_blocks(sets, openvino) else ContiguousCaches)(spec(), dtype=dtype)
    hint = caches.compile_options(capabilities)["INFERENCE_PRECISION_HINT"]
    types = {ov.Type.f32: "float32", ov.Type.bf16: "bfloat16", ov.Type.f16: "float16"}
    assert plan == ProfilePlan(
        profile="mine",
        arithmetic={"bf16": "bfloat16", "f32": "float32"}[hint],  # type: ignore[arg-type]
        kv_layout="in blocks" if isinstance(caches, PagedCaches) else "contiguous",
        kv_dtype=types[caches.element],
    )


def test_float32_stays_float32_whatever_openvino_could_do() -> None:
    assert choose_arithmetic("float32", ("BF16",)) == "float32"
    assert choose_arithmetic("bfloat16", ("FP32",)) == "float32"
    assert choose_arithmetic("bfloat16", ("BF16",)) == choose_arithmetic("float16", ("BF16",)) == "bfloat16"


def test_the_plan_of_this_machine_is_of_its_flags_and_of_the_packaged_profiles() -> None:
    plan = plan_this_machine()
    assert plan.processor.machine == platform.machine()
    assert plan.processor.instruction_sets == detect_instruction_sets()
    assert plan.processor.openvino == version("openvino")
    assert "FP32" in plan.processor.capabilities
    assert [it.profile for it in plan.profiles] == [name for name in list_profiles() if name.startswith("cpu")]

"""What sessions do on a processor: number type, place of K/V, 8-bit kernels; and the profile that suits it."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal

from neuron_whisper.host import hardware
from neuron_whisper.profile import DEFAULT_PROFILE, list_profiles, load_profile

PAGED_ATTENTION_OPENVINO = "2026.4."  # the release that paged_attention_pass is written for
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")  # OpenVINO has no bfloat16 kernels for ARM's
ARM_MACHINES = ("aarch64", "arm64")

Arithmetic = Literal["bfloat16", "float32"]
KVLayout = Literal["contiguous", "in blocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """`machine` as platform.machine() has it, `instruction_sets` of hardware.RELEVANT_FLAGS.

    `capabilities` are OpenVINO's OPTIMIZATION_CAPABILITIES of its CPU device, `openvino` is its version.
    """

    machine: str
    instruction_sets: tuple[str, ...]
    capabilities: tuple[str, ...]
    openvino: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlan:
    """What a session of a profile does: the type of its products, and where its K/V lie."""

    profile: str
    arithmetic: Arithmetic
    kv_layout: KVLayout
    kv_dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorPlan:
    """`int8_gains` None: not known. `is_measured`: whether such a processor was, and not only emulated, if at all."""

    processor: Processor
    profiles: tuple[ProfilePlan, ...]
    int8_gains: bool | None
    int8_reason: str
    recommended: str
    reason: str
    is_measured: bool


def choose_arithmetic(dtype: str, capabilities: Collection[str]) -> Arithmetic:
    """The type of a session's products for a profile's `target.dtype`; OpenVINO names BF16 where it has kernels."""
    return "bfloat16" if dtype != "float32" and "BF16" in capabilities else "float32"


def keeps_kv_in_blocks(instruction_sets: Collection[str], openvino: str) -> bool:
    """Whether sessions keep K/V in blocks for OpenVINO's PagedAttention.

    They do on processors with AVX2 and without bfloat16, where it was measured to be faster, and with the OpenVINO
    release that the pass is written for: the operation's inputs change from version to version.
    """
    has_bfloat16 = any(flag in instruction_sets for flag in BFLOAT16_FLAGS)
    return openvino.startswith(PAGED_ATTENTION_OPENVINO) and "avx2" in instruction_sets and not has_bfloat16


def plan_profile(name: str, dtype: str, processor: Processor) -> ProfilePlan:
    """What a session of a profile with this `target.dtype` does on the processor."""
    if keeps_kv_in_blocks(processor.instruction_sets, processor.openvino):
        kv_dtype = "float32" if dtype == "float32" else "float16"
        return ProfilePlan(profile=name, arithmetic="float32", kv_layout="in blocks", kv_dtype=kv_dtype)
    return ProfilePlan(
        profile=name,
        arithmetic=choose_arithmetic(dtype, processor.capabilities),
        kv_layout="contiguous",
        kv_dtype="float32" if dtype == "float32" else "bfloat16",
    )


def plan_processor(processor: Processor, dtypes: Mapping[str, str]) -> ProcessorPlan:
    """What sessions do on the processor; `dtypes` maps names of profiles to their `target.dtype`."""
    plans = tuple(plan_profile(name, dtype, processor) for name, dtype in dtypes.items())
    has_bfloat16 = any(plan.arithmetic == "bfloat16" for plan in plans)
    int8_gains, int8_reason = _judge_int8(processor)
    reason, is_measured = _explain_arithmetic(processor, has_bfloat16=has_bfloat16)
    return ProcessorPlan(
        processor=processor,
        profiles=plans,
        int8_gains=int8_gains,
        int8_reason=int8_reason,
        recommended=DEFAULT_PROFILE,
        reason=reason,
        is_measured=is_measured,
    )


@cache  # OpenVINO's core takes a tenth of a second, and the processor stays
def plan_this_machine() -> ProcessorPlan:
    """The plan of this machine for the packaged profiles of the target cpu. Needs OpenVINO."""
    import openvino as ov

    processor = Processor(
        machine=platform.machine(),
        instruction_sets=hardware.detect_instruction_sets(),
        capabilities=tuple(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        openvino=version("openvino"),
    )
    profiles = {name: load_profile(name) for name in list_profiles() if name.partition("-")[0] == "cpu"}
    return plan_processor(processor, {name: profile.target.dtype for name, profile in profiles.items()})


def _judge_int8(processor: Processor) -> tuple[bool | None, str]:
    """Whether products of 8-bit activations are faster than others, and why; None where that is not known.

    Without dot products OpenVINO 2026.4.1 adds pairs of 8-bit products in 16 bit, which overflow: 4.5 off in sums of
    up to 24, with AVX2 and with AVX-512 alike.
    """
    if processor.machine in ARM_MACHINES:
        return None, "8-bit products were not measured on ARM"
    dot_flags = reversed(hardware.INT8_DOT_FLAGS)  # the fastest first
    found = next((flag for flag in dot_flags if flag in processor.instruction_sets), None)
    if found is None:
        return False, f"8-bit products gain nothing, and overflow, without {' or '.join(hardware.INT8_DOT_FLAGS)}"
    return True, f"8-bit products gain by {found}" + ("" if found == "avx512_vnni" else "; not measured")


def _explain_arithmetic(processor: Processor, *, has_bfloat16: bool) -> tuple[str, bool]:
    """Why the recommended profile is, and whether a processor of the kind was measured."""
    sets = processor.instruction_sets
    if processor.machine in ARM_MACHINES:
        return "OpenVINO computes in float32 on ARM, also where the processor has bfloat16; not measured", False
    if has_bfloat16 and "amx_bf16" in sets:
        return "near cpu-exact's text, products by AMX where OpenVINO takes it; not measured", False
    if has_bfloat16:
        return "near cpu-exact's text in less time and memory", True
    if "avx2" not in sets:
        return "no AVX2: products in float32, K/V converted on each step; not measured", False
    why = "no bfloat16 products: in float32 it has cpu-exact's text but for its rounded weights, in a little less time"
    if keeps_kv_in_blocks(sets, processor.openvino) and not {"avx512f", "avx_vnni"} & set(sets):
        return why, True
    return f"{why}; emulated, not measured", False

"""The doctor: what it finds on a machine, and the verdict it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.cli.doctor import Check, Verdict, check_neuron_driver, check_profiles, judge
from neuron_whisper.cli.main import run
from neuron_whisper.target.cpu.processor import Processor, plan_processor
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import SDK_2_29, StubNeuron, write_driver_and_runtime


def checks(capsys: pytest.CaptureFixture[str], cache: Path) -> tuple[int, dict[str, dict[str, str]]]:
    code = run(["doctor", "--json", "--cache", str(cache)])
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] in ("ok", "warn", "fail")
    return code, {check["name"]: check for check in answer["checks"]}


def test_every_check_has_a_verdict_and_each_that_is_not_ok_has_advice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, found = checks(capsys, tmp_path / "cache")
    assert code == 0
    assert set(found) >= {
        "cores",
        "instructions",
        "memory",
        "python",
        "packages",
        "compile packages",
        "target cpu",
        "target reference",
        "target neuron",
        "Neuron devices",
        "cache",
        "disk",
        "artifacts",
        "models",
    }
    for check in found.values():
        assert check["verdict"] in ("ok", "warn", "fail")
        assert check["found"]
        assert check["advice"] or check["verdict"] == "ok"
    assert not (tmp_path / "cache").exists()  # looking changes nothing


def test_a_missing_neuron_target_is_a_warning_with_its_install_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: a missing package is not proved to be reported")
    _, found = checks(capsys, tmp_path)
    assert found["target neuron"]["verdict"] == "warn"
    assert found["target neuron"]["advice"].startswith('pip install "neuron-whisper[neuron]"')


def test_the_document_has_the_plan_of_this_processor(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["doctor", "--json", "--cache", str(tmp_path)])
    answer = json.loads(capsys.readouterr().out)
    assert answer["processor"]
    assert answer["plan"]["recommended"] == "cpu"
    assert [it["profile"] for it in answer["plan"]["profiles"]] == ["cpu", "cpu-exact", "cpu-fast"]
    assert {it["arithmetic"] for it in answer["plan"]["profiles"]} <= {"bfloat16", "float32"}
    assert {"profile cpu", "profile cpu-exact", "profile cpu-fast", "8-bit products"} <= {
        check["name"] for check in answer["checks"]
    }


@pytest.mark.parametrize(
    ("machine", "sets", "capabilities", "found", "verdict"),
    [
        ("x86_64", ("avx2", "avx512_bf16"), ("BF16",), "products in bfloat16, K/V contiguous in bfloat16", "ok"),
        ("x86_64", ("avx2",), (), "products in float32, K/V in blocks in float16", "warn"),
        ("x86_64", (), (), "products in float32, K/V contiguous in bfloat16", "warn"),
        ("aarch64", ("asimd", "bf16"), ("FP16",), "products in float32, K/V contiguous in bfloat16", "warn"),
    ],
)
def test_each_profile_has_a_line_and_one_without_bfloat16_products_is_a_warning(
    machine: str, sets: tuple[str, ...], capabilities: tuple[str, ...], found: str, verdict: Verdict
) -> None:
    processor = Processor(
        machine=machine, instruction_sets=sets, capabilities=("FP32", *capabilities), openvino="2026.4.1"
    )
    plan = plan_processor(processor, {"cpu": "bfloat16", "cpu-exact": "float32"})
    default, exact, int8 = check_profiles(plan)
    assert default.name == "profile cpu"
    assert default.found.startswith(found)
    assert default.verdict == verdict
    assert plan.reason in (default.advice if verdict == "warn" else default.found)
    assert (exact.name, exact.verdict) == ("profile cpu-exact", "ok")
    assert exact.found.startswith("products in float32")
    assert (int8.name, int8.found) == ("8-bit products", plan.int8_reason)


@pytest.mark.parametrize(("sets", "has_encoder"), [(("avx2", "avx512_vnni", "avx512_bf16"), True), (("avx2",), False)])
def test_the_profiles_lines_say_what_sets_them_apart(sets: tuple[str, ...], has_encoder: bool) -> None:
    processor = Processor(machine="x86_64", instruction_sets=sets, capabilities=("FP32",), openvino="2026.4.1")
    plan = plan_processor(processor, {"cpu": "bfloat16", "cpu-exact": "float32", "cpu-fast": "bfloat16"})
    default, exact, fast, _ = (check.found for check in check_profiles(plan))
    assert ["decoder weights in 8 bit" in it for it in (default, exact, fast)] == [True, False, True]
    assert ["approximate text" in it for it in (default, exact, fast)] == [False, False, True]
    assert ["encoder in 8 bit" in it for it in (default, exact, fast)] == [False, False, has_encoder]


def test_the_verdict_is_what_the_checks_allow() -> None:
    def check(name: str, verdict: Verdict) -> Check:
        return Check(name=name, verdict=verdict, found="")

    checks = [check("packages", "ok"), check("cache", "ok"), check("target cpu", "warn"), check("target neuron", "ok")]
    abilities = {ability.name: ability for ability in judge([*checks, check("compile packages", "warn")])}
    assert abilities["transcribe and serve on the CPU"].is_possible
    assert abilities["compile models for the CPU"].missing == ("compile packages",)
    # its cores and driver are not checked where there is no device
    assert abilities["run on Neuron devices"].missing == ("Neuron devices",)


def test_the_verdict_names_checks_that_were_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["doctor", "--json", "--cache", str(tmp_path)])
    answer = json.loads(capsys.readouterr().out)
    named = {name for ability in answer["abilities"] for name in ability["missing"]}
    assert named <= {check["name"] for check in answer["checks"]}


def test_of_a_device_the_check_that_keeps_it_from_running_is_named() -> None:
    made = [Check(name=name, verdict="ok", found="") for name in ("packages", "cache", "target neuron", "NeuronCores")]
    driver = Check(name="Neuron driver", verdict="fail", found="")
    assert judge([*made, driver])[-1].missing == ("Neuron driver",)


def test_a_cache_that_others_can_write_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    code, found = checks(capsys, cache)
    assert code == 1
    assert found["cache"]["verdict"] == "fail"
    assert "others can write it" in found["cache"]["found"]


def test_people_read_one_line_for_each_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["doctor", "--cache", str(tmp_path)]) == 0
    checks, _, verdict = capsys.readouterr().out.partition("\n\nThis machine can:\n")
    lines = [line for line in checks.splitlines() if "-> " not in line]
    assert len(lines) >= 14
    assert all(line.startswith(("ok    ", "warn  ", "fail  ")) for line in lines)
    assert all(line.startswith(("  yes  ", "  no   ")) for line in verdict.splitlines())


@pytest.mark.parametrize(
    ("driver", "runtime", "verdict"),
    [
        ("2.31.8.0", "2.30.51.0", "fail"),  # the image of SDK 2.28 on a new AMI
        ("2.26.10.0", "2.32.31.0", "fail"),
        ("2.26.10.0", "2.34.10.0", "warn"),
        ("2.31.8.0", "2.33.10.0", "ok"),
    ],
)
def test_a_driver_and_a_runtime_that_do_not_start_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, runtime: str, verdict: str
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    write_driver_and_runtime(tmp_path, driver=driver, runtime=runtime)
    found = check_neuron_driver(tmp_path)
    assert (found.verdict, driver in found.found, runtime in found.found) == (verdict, True, True)
    assert bool(found.advice) is (verdict != "ok")
    assert ("Neuron driver" in judge([found])[-1].missing) is (verdict != "ok")


def test_an_unknown_driver_is_no_fault(tmp_path: Path) -> None:
    assert check_neuron_driver(tmp_path).verdict == "ok"


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [({}, "ok"), ({"torch-neuronx": "2.14.3.0"}, "warn"), ({"neuronx-cc": "2.27.1"}, "warn")],
)
def test_a_neuron_target_of_packages_that_are_refused_is_not_available(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    verdict: str,
) -> None:
    StubNeuron(tmp_path / "neuron", monkeypatch).install(SDK_2_29 | changed)
    run(["doctor", "--json", "--cache", str(tmp_path / "cache")])
    answer = json.loads(capsys.readouterr().out)
    [target] = [check for check in answer["checks"] if check["name"] == "target neuron"]
    assert (target["verdict"], "available, artifacts run" in target["found"]) == (verdict, verdict == "ok")
    [compiles] = [it for it in answer["abilities"] if it["name"] == "compile models for Neuron"]
    assert compiles["is_possible"] is (verdict == "ok")

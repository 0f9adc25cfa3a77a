"""Where things are: a test file for every module, folders that one can read."""

from __future__ import annotations

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "neuron_whisper"
TESTS = ROOT / "tests"
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("")
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)

MAX_MODULES = 22  # in a folder, with its __init__
MAX_LINES = 500

# Modules without a test file of their name, and the test that proves them: they need a real process, socket, device
# or another framework. At most one module in ten.
PROVED_ELSEWHERE = {
    "audio/process/forkserver": "integration/test_decoders.py",
    "audio/tables/promise": "unit/audio/tables/test_check.py",  # an exception alone
    "bench/engines/neuron_whisper": "integration/test_bench.py",
    "bench/engines/openai_whisper": "integration/test_bench.py",
    "cli/calibrate": "integration/test_encoder_int8.py",
    "longform/plan": "unit/longform/test_sequential.py",  # types alone
    "server/decoding/decoder": "integration/test_decoders.py",
    "target/cpu/calibration/calibrate": "integration/test_encoder_int8.py",
    "target/cpu/calibration/collect": "integration/test_encoder_int8.py",
    "target/cpu/calibration/evaluate": "integration/test_encoder_int8.py",
    "target/cpu/lowering/encoder_layers": "unit/target/cpu/lowering/test_encoder_int8.py",
    "target/neuron/lowering/layers": "neuron_sim/test_neuron_target.py",
}


def test_every_module_has_a_test_file_of_its_name_or_is_proved_elsewhere() -> None:
    without = {
        str(module) for module in MODULES if not (TESTS / "unit" / module.parent / f"test_{module.name}.py").is_file()
    }
    assert without == set(PROVED_ELSEWHERE)


@pytest.mark.parametrize(("module", "test"), sorted(PROVED_ELSEWHERE.items()))
def test_what_is_proved_elsewhere_exists_and_so_does_its_proof(module: str, test: str) -> None:
    assert (PACKAGE / f"{module}.py").is_file()
    assert (TESTS / test).is_file()


def test_at_most_one_module_in_ten_is_proved_elsewhere() -> None:
    assert len(PROVED_ELSEWHERE) <= len(MODULES) / 10


def test_no_folder_of_the_package_is_crowded() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    crowded = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in crowded.items() if count > MAX_MODULES} == {}


def test_no_module_is_long() -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}

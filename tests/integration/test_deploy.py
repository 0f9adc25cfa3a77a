"""deploy/: its files use commands, routes and metrics that the program has. No image is built and no device is used."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
import yaml  # type: ignore[import-untyped]  # its types are a package of their own, which nothing else needs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from neuron_whisper.artifact.cache_directory import CacheDirectory
from neuron_whisper.artifact.key import parse_label
from neuron_whisper.cli.main import run
from neuron_whisper.errors import ArtifactUnsafe
from neuron_whisper.model.catalogue import CATALOGUE
from neuron_whisper.planning.instances import INSTANCE_TYPES
from neuron_whisper.profile import list_profiles
from neuron_whisper.server import ServerSettings, create_app
from neuron_whisper.server.config.loader import load_settings
from neuron_whisper.server.config.settings import COMPAT_DEFAULTS
from neuron_whisper.server.run import SHUTDOWN_GRACE_S
from tests.support.command_lines import INSTALLED, PROGRAM, find_calls, parse_command_line
from tests.support.paths import ROOT
from tests.support.servers import make_transcriber, run_server

DEPLOY = ROOT / "deploy"
DOCKERFILES = (DEPLOY / "Dockerfile.cpu", DEPLOY / "Dockerfile.neuron")
SAGEMAKER = DEPLOY / "Dockerfile.sagemaker"
TARGETS = ("cpu", "neuron")  # the folders of deploy/kubernetes
PAGES = (ROOT / "docs" / "deployment.md", ROOT / "docs" / "neuron.md", ROOT / "docs" / "sagemaker.md")
NEURON_PAGE = PAGES[1]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
UID = 10001
CORES_PER_DEVICE = 2  # Inferentia2 and Trainium: /dev/neuron<N> and aws.amazon.com/neuron are whole chips


# --- reading the files ----------------------------------------------------------------------------


def read_instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """[("ARG", "PROFILE=cpu"), ("RUN", "python -m pip ..."), ...]; continued lines are one, comments are gone."""
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def read_values(dockerfile: Path, word: str) -> list[str]:
    return [text for found, text in read_instructions(dockerfile) if found == word]


def read_manifests(target: str) -> dict[str, Any]:
    """Kubernetes' objects by kind."""
    files = sorted((DEPLOY / "kubernetes" / target).glob("*.yaml"))
    return {it["kind"]: it for file in files for it in yaml.safe_load_all(file.read_text())}


def pod_spec(target: str, kind: str) -> Any:
    return read_manifests(target)[kind]["spec"]["template"]["spec"]


def read_services() -> dict[str, Any]:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert isinstance(found, dict)
    return found


def read_unit(unit: Path) -> dict[str, list[str]]:
    """{"ExecStart": ["/opt/... serve ..."], "Environment": [...]}"""
    pairs = [line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"[A-Za-z]+=", line)]
    return {key: [value for other, value in pairs if other == key] for key, _ in pairs}


def code_blocks(text: str) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@dataclass(frozen=True, slots=True)
class Call:
    """A command line of the program, and the file it stands in."""

    where: str
    args: Sequence[str]


def collect_calls() -> list[Call]:
    found = []
    for file in (*DOCKERFILES, SAGEMAKER):
        script = "\n".join(read_values(file, "RUN"))
        for name, _, default in (text.partition("=") for text in read_values(file, "ARG")):
            script = script.replace(f"${{{name}}}", default)
        found += [Call(file.name, json.loads(text)) for text in read_values(file, "CMD")]
        found += [Call(file.name, args) for args in find_calls(script)]
    found += [Call(f"compose: {name}", it["command"]) for name, it in read_services().items() if "command" in it]
    found += [
        Call(f"{kind}: {target}", it["args"])
        for target in TARGETS
        for kind in ("Job", "Deployment")
        for it in pod_spec(target, kind)["containers"]
    ]
    for unit in UNITS:
        found += [Call(unit.name, args) for text in read_unit(unit)["ExecStart"] for args in find_calls(text)]
    for page in PAGES:
        text = page.read_text()
        found += [Call(page.name, args) for args in find_calls(code_blocks(text))]
        found += [Call(page.name, shlex.split(args)) for args in re.findall(r"`neuron-whisper (\w[^`]*)`", text)]
    return found


CALLS = collect_calls()


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.where}: {' '.join(call.args)}")
def test_every_command_line_is_one_that_the_program_takes(call: Call) -> None:
    params = parse_command_line(call.args).params

    if params.get("profile") is not None:
        assert params["profile"] in list_profiles()
    if params.get("model") is not None:
        assert params["model"] in CATALOGUE
    assert set(params.get("models", ())) <= set(CATALOGUE)
    assert set(params.get("instances", ())) <= set(INSTANCE_TYPES)


def test_a_flag_that_does_not_exist_is_a_usage_error() -> None:
    for args in (["serve", "--artifcat", "base"], ["artifacts", "exprot", "base", "-"], ["srve"], ["compile", "base"]):
        with pytest.raises(click.UsageError):
            parse_command_line(args)


def test_every_file_says_what_to_run() -> None:
    commands: dict[str, set[str]] = {}
    for call in CALLS:
        commands.setdefault(call.where, set()).add(call.args[0])

    assert commands == {
        "Dockerfile.cpu": {"compile", "serve"},
        "Dockerfile.neuron": {"doctor"},
        "Dockerfile.sagemaker": {"artifacts", "serve"},
        "compose: compile": {"compile"},
        "compose: neuron": {"serve"},
        "Job: cpu": {"compile"},
        "Job: neuron": {"compile"},
        "Deployment: cpu": {"serve"},
        "Deployment: neuron": {"serve"},
        "neuron-whisper-compile.service": {"compile"},
        "neuron-whisper.service": {"serve"},
        "neuron-whisper-cpu-compile.service": {"compile"},
        "neuron-whisper-cpu.service": {"serve"},
        "deployment.md": {"artifacts", "compile", "doctor"},
        "neuron.md": {"plan", "doctor", "compile", "artifacts", "serve", "transcribe", "bench", "demo"},
        "sagemaker.md": {"artifacts", "serve"},
    }


def test_what_is_served_is_what_the_same_folder_compiles() -> None:
    named = [call.args for call in CALLS if call.args[0] == "serve" and "--artifact" in call.args]
    served = {args[args.index("--artifact") + 1] for args in named}
    served |= set(re.findall(r"NEURON_WHISPER_ARTIFACT=(\S+)", " ".join(read_values(DOCKERFILES[0], "ENV"))))
    made = set()
    for call in CALLS:
        if (
            call.args[0] == "compile"
            and (profile := parse_command_line(call.args).params["profile"]) in list_profiles()
        ):
            target = tomllib.loads(list_profiles()[profile].read_text())["target"]
            made.add(f"{parse_command_line(call.args).params['model']}-{target['name']}-tp{target.get('tp', 1)}")

    assert served == {"kotoba-v2.2-neuron-tp2", "base", "base-cpu-tp1", "/opt/neuron-whisper/artifact"}
    assert {"kotoba-v2.2-neuron-tp2", "base-cpu-tp1"} <= made
    assert parse_label("kotoba-v2.2-neuron-tp2-0123456789abcdef") == "kotoba-v2.2"


def test_every_profile_that_the_page_builds_from_a_model_exists() -> None:
    patterns = re.findall(r"`(neuron-MODEL-[^`]+)`", NEURON_PAGE.read_text())
    assert len(patterns) == 5

    models = ("large-v3", "large-v3-turbo", "kotoba-v2", "base")
    assert {pattern.replace("MODEL", model) for pattern in patterns for model in models} <= set(list_profiles())


# --- images and units -----------------------------------------------------------------------------


def test_the_base_image_is_of_the_newest_sdk_that_the_project_takes() -> None:
    (image,) = (text for text in read_values(DEPLOY / "Dockerfile.neuron", "ARG") if text.startswith("NEURON_IMAGE="))
    tag = re.fullmatch(
        r"NEURON_IMAGE=public\.ecr\.aws/neuron/pytorch-inference-neuronx:"
        r"(?P<torch>[0-9.]+)-neuronx-py(?P<python>\d+)-sdk(?P<sdk>[0-9.]+)-ubuntu24\.04",
        image,
    )
    assert tag is not None
    assert tag.groupdict() == {"torch": "2.9.0", "python": "312", "sdk": "2.31.1"}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains("3.12.11")
    extras = project["optional-dependencies"]
    wanted = {it.name: it.specifier for it in map(Requirement, [*extras["neuron"], *extras["nxdi"]])}
    # aws-neuron/deep-learning-containers, pytorch/inference/2.9.0/Dockerfile.neuronx of 2.31.1
    image_has = {
        "neuronx-cc": "2.26.6360.0+6f180f47",
        "torch-neuronx": "2.9.0.2.15.32035+de43f57c",
        "neuronx-distributed": "0.19.28492+435aae2b",
        "neuronx-distributed-inference": "0.10.18399+ed62453e",
    }
    assert all(wanted[package].contains(version) for package, version in image_has.items())
    # and nothing newer: SDK 2.32 has this compiler, and no torch-neuronx
    assert not wanted["neuronx-cc"].contains("2.27.5334")
    assert not wanted["torch-neuronx"].contains("2.9.0.2.16.1")


def test_what_the_images_copy_is_allowedto_the_build_and_nothing_else_is() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        source
        for file in DOCKERFILES
        for text in read_values(file, "COPY")
        if not text.startswith("--from")
        for source in text.split()[:-1]
    }

    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_compile_stage_takes_the_torch_that_the_tests_run_with() -> None:
    (pinned,) = re.findall(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"TORCH={pinned}" in read_values(DEPLOY / "Dockerfile.cpu", "ARG")


@pytest.mark.parametrize("unit", UNITS, ids=lambda file: file.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd-analyze: not proved that systemd knows every key of the units")
    assert INSTALLED in unit.read_text()
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(INSTALLED, sys.executable))  # verify wants the program to be there

    done = subprocess.run(
        [tool, "verify", "--man=no", str(here)], capture_output=True, text=True, check=False, timeout=60
    )
    about_it = [line for line in done.stderr.splitlines() if unit.name in line]  # other units of the machine may be odd
    assert about_it == []


def test_sagemakers_image_serves_its_artifact_by_variables_alone_on_the_port_that_it_asks() -> None:
    variables = dict(part.split("=") for text in read_values(SAGEMAKER, "ENV") for part in text.split())
    (artifact,) = (text.removeprefix("ARTIFACT=") for text in read_values(SAGEMAKER, "ARG") if "ARTIFACT" in text)
    assert variables["NEURON_WHISPER_ARTIFACT"] == "${ARTIFACT}"
    assert artifact == "kotoba-v2.2-neuron-tp2"
    loaded = load_settings(ServerSettings, flags={}, environment=variables, defaults_by_compat=COMPAT_DEFAULTS)
    settings = loaded.settings
    assert (settings.compat, settings.host, str(settings.port)) == ("sagemaker", "0.0.0.0", "8080")
    assert read_values(SAGEMAKER, "EXPOSE") == ["8080"]
    assert read_values(SAGEMAKER, "CMD") == ['["serve"]']  # which SageMaker gives too, in place of a CMD
    assert read_values(SAGEMAKER, "ENTRYPOINT") == []
    assert all(read_values(file, "ENTRYPOINT") == ['["neuron-whisper"]'] for file in DOCKERFILES)
    # it answers within 60 s, and is killed 30 s after SIGTERM
    assert settings.request_timeout_s < 60
    assert settings.drain_s + 2 * SHUTDOWN_GRACE_S < 30


# --- memory and devices ---------------------------------------------------------------------------


def plan_placement(profile: str, model: str = "kotoba-v2.2") -> dict[str, Any]:
    with redirect_stdout(io.StringIO()) as out:
        assert run(["plan", "--model", model, "--profile", profile, "--json"]) == 0
    placement = json.loads(out.getvalue())["placements"][0]
    assert isinstance(placement, dict)
    return placement


def test_the_job_asks_for_the_memory_that_plan_estimates() -> None:
    (container,) = pod_spec("neuron", "Job")["containers"]
    profile = parse_command_line(container["args"]).params["profile"]
    estimate = plan_placement(profile)["compile_estimate"]["all_at_once_bytes"]

    for memory in (container["resources"][kind]["memory"] for kind in ("requests", "limits")):
        assert estimate < int(memory.removesuffix("Gi")) << 30 < 1.2 * estimate
    assert "aws.amazon.com/neuron" not in container["resources"]["limits"]


def test_the_pages_memory_to_compile_is_what_plan_estimates() -> None:
    rows = re.findall(r"^\| (\S+) \| (\d+) GB \| (\d+) GB \|$", NEURON_PAGE.read_text(), re.MULTILINE)
    assert [model for model, *_ in rows] == ["kotoba-v2.2", "large-v3-turbo", "large-v3"]

    for model, *gigabytes in rows:
        name = model.partition(".")[0]
        estimate = plan_placement(f"neuron-{name}-inf2.xlarge-tp2", model)["compile_estimate"]
        assert [int(it) * 1e9 for it in gigabytes] == [
            pytest.approx(estimate[f"{count}_bytes"], rel=0.1) for count in ("one_at_a_time", "all_at_once")
        ]


def test_the_server_gets_a_device_for_every_two_cores() -> None:
    placement = plan_placement("neuron-kotoba-v2-inf2.xlarge-tp2")
    devices = -(-placement["tp"] * placement["replicas"] // CORES_PER_DEVICE)

    assert pod_spec("neuron", "Deployment")["containers"][0]["resources"]["limits"]["aws.amazon.com/neuron"] == devices
    assert read_services()["neuron"]["devices"] == [f"/dev/neuron{n}:/dev/neuron{n}" for n in range(devices)]


def test_the_server_runs_on_an_instance_of_its_profiles_family_and_karpenter_starts_one() -> None:
    profile = list_profiles()[parse_command_line(pod_spec("neuron", "Job")["containers"][0]["args"]).params["profile"]]
    family = tomllib.loads(profile.read_text())["target"]["instance"].partition(".")[0]
    wanted = pod_spec("neuron", "Deployment")["nodeSelector"]["node.kubernetes.io/instance-type"]
    pool, node_class = yaml.safe_load_all((DEPLOY / "kubernetes" / "karpenter" / "neuron.yaml").read_text())
    spec = pool["spec"]["template"]["spec"]
    offered = {it["key"]: it["values"] for it in spec["requirements"]}["node.kubernetes.io/instance-type"]

    assert wanted in offered
    assert {name.partition(".")[0] for name in offered} == {family}
    assert set(offered) <= set(INSTANCE_TYPES)
    (tainted,), (tolerated,) = spec["taints"], pod_spec("neuron", "Deployment")["tolerations"]
    assert (tainted["key"], tainted["effect"]) == (tolerated["key"], tolerated["effect"])
    assert spec["nodeClassRef"]["name"] == node_class["metadata"]["name"]
    assert node_class["spec"]["blockDeviceMappings"][0]["ebs"]["volumeSize"] == "100Gi"


def test_a_zone_for_the_volume_may_be_named_in_every_place_that_needs_it() -> None:
    files = [*(DEPLOY / "kubernetes" / "neuron" / f"{name}.yaml" for name in ("compile", "serve"))]
    files.append(DEPLOY / "kubernetes" / "karpenter" / "neuron.yaml")
    for file in files:
        uncommented = re.sub(r"# (.*topology\.kubernetes\.io/zone.*us-east-1a)", r"\1", file.read_text())
        assert "us-east-1a" in str([*yaml.safe_load_all(uncommented)]), file.name
        assert "us-east-1a" not in str([*yaml.safe_load_all(file.read_text())])


def test_units_work_where_they_may_write_as_the_compiler_does() -> None:
    for unit in map(read_unit, UNITS):
        assert unit["WorkingDirectory"] == ["%S/neuron-whisper"] == [f"%S/{unit['StateDirectory'][0]}"]
        assert unit["ProtectSystem"] == ["strict"]


def test_the_pages_sed_puts_the_registry_before_every_image() -> None:
    (script,) = set(re.findall(r'sed "(s\|[^"]+)" deploy', NEURON_PAGE.read_text()))
    for kind in ("Job", "Deployment"):
        (container,) = pod_spec("neuron", kind)["containers"]
        _, pattern, replacement, _ = script.split("|")
        text = f"image: {container['image']}".replace(pattern, replacement)
        assert text == "image: $REGISTRY/neuron-whisper:neuron"


def test_the_tar_of_the_walk_goes_by_one_name() -> None:
    text = NEURON_PAGE.read_text()
    walk = text[text.index("## From nothing") : text.index("## The compiler's arguments")]
    assert set(re.findall(r"[\w./-]*\.tar\b", walk)) == {"kotoba.tar", "//BUCKET/kotoba.tar"}


def test_torch_for_the_cpu_is_installed_before_what_needs_it() -> None:
    for page in PAGES[:2]:
        text = page.read_text()
        installs = text[text.index("apt-get install -y python3-venv") :]
        first, second = re.findall(r"bin/pip install (.*)", installs)[:2]
        assert first.endswith("--index-url https://download.pytorch.org/whl/cpu")
        assert re.match(r'"?torch\b', first)
        assert second.startswith('".[')


# --- health and stopping --------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_probes_ask_routes_that_the_server_has(target: str) -> None:
    opened, _ = make_transcriber()
    routes = {route.path for route in create_app(opened, ServerSettings()).routes}
    opened.close()
    (container,) = pod_spec(target, "Deployment")["containers"]
    probes = {name: it for name, it in container.items() if name.endswith("Probe")}
    ports = {it["name"]: it["containerPort"] for it in container["ports"]}

    assert {name: it["httpGet"]["path"] for name, it in probes.items()} == {
        "startupProbe": "/health/startup",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }
    assert {it["httpGet"]["path"] for it in probes.values()} <= routes
    assert {it["httpGet"]["port"] for it in probes.values()} == {"http"} == set(ports)
    assert ports["http"] == ServerSettings().port
    assert read_manifests(target)["Service"]["spec"]["ports"][0]["targetPort"] == "http"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
def test_the_images_health_check_fails_without_a_live_server(dockerfile: Path) -> None:
    (check,) = (text for text in read_values(dockerfile, "HEALTHCHECK") if text != "NONE")
    python, *args = json.loads(check.partition("CMD")[2])
    assert python == "python"

    def run_check(port: int) -> int:
        command = [sys.executable, *(arg.replace(":8000/", f":{port}/") for arg in args)]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode

    assert f":{ServerSettings().port}/" in args[-1]
    with run_server() as server:
        port = server.address[1]
        assert run_check(port) == 0
    assert run_check(port) != 0


def test_everything_waits_longer_than_the_drain() -> None:
    drain_s = ServerSettings().drain_s + 2 * SHUTDOWN_GRACE_S
    for target in TARGETS:
        (container,) = pod_spec(target, "Deployment")["containers"]
        sleep_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod_spec(target, "Deployment")["terminationGracePeriodSeconds"] > sleep_s + drain_s
    servers = [unit for unit in map(read_unit, UNITS) if "serve" in unit["ExecStart"][0]]
    assert len(servers) == 2
    assert all(int(unit["TimeoutStopSec"][0]) > drain_s for unit in servers)
    assert all(
        int(read_services()[name]["stop_grace_period"].removesuffix("s")) > drain_s for name in ("cpu", "neuron")
    )
    stops = [it for page in PAGES for it in re.findall(r"--stop-timeout (\d+)", page.read_text())]
    assert [int(seconds) > drain_s for seconds in stops] == [True, True, True]
    assert all(read_values(file, "STOPSIGNAL") == ["SIGTERM"] for file in DOCKERFILES)


# --- who may read and write -----------------------------------------------------------------------


def test_nothing_runs_as_root() -> None:
    assert all(set(read_values(file, "USER")) == {f"{UID}:{UID}"} for file in DOCKERFILES)
    for target, kind in product(TARGETS, ("Job", "Deployment")):
        context = pod_spec(target, kind)["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, UID, UID)
    assert all(read_unit(unit)["User"] == [PROGRAM] for unit in UNITS)


def test_a_volume_that_its_group_may_write_does_and_one_whose_files_it_may_write_does_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)  # what fsGroup makes of a fresh volume's root
    cache = CacheDirectory(tmp_path / "cache")
    cache.create()
    assert cache.check()

    policies = {pod_spec(target, "Job")["securityContext"]["fsGroupChangePolicy"] for target in TARGETS}
    assert policies == {"OnRootMismatch"}
    cache.artifacts.chmod(0o2770)  # what the policy Always makes of all that lies in it
    with pytest.raises(ArtifactUnsafe, match="others can write it"):
        cache.check()


def test_all_state_lies_on_the_volume_and_what_serves_mounts_it_read_only() -> None:
    volume = "/var/lib/neuron-whisper"
    for file in DOCKERFILES:
        assert read_values(file, "VOLUME") == [volume]
        assert f"NEURON_WHISPER_CACHE={volume}/cache" in " ".join(read_values(file, "ENV"))
        assert f"install -d -m 0700 -o {UID} -g {UID} {volume}" in " ".join(read_values(file, "RUN"))

    def mount(target: str, kind: str) -> Any:
        mounts = pod_spec(target, kind)["containers"][0]["volumeMounts"]
        return next(it for it in mounts if it["mountPath"] == volume)

    for target in TARGETS:
        assert mount(target, "Job") == {"name": "state", "mountPath": volume}
        assert mount(target, "Deployment") == {"name": "state", "mountPath": volume, "readOnly": True}
    assert f"state:{volume}:ro" in read_services()["neuron"]["volumes"]
    assert read_services()["compile"]["volumes"] == [f"state:{volume}"]
    assert all(read_unit(unit)["StateDirectoryMode"] == ["0700"] for unit in UNITS)


def test_scratch_lies_on_a_disk_and_not_in_memory() -> None:
    for name in ("cpu", "neuron"):
        assert "tmpfs" not in read_services()[name]
        assert {"/tmp", "/var/tmp"} <= set(read_services()[name]["volumes"])
    for target, kind in product(TARGETS, ("Job", "Deployment")):
        (scratch,) = (it["emptyDir"] for it in pod_spec(target, kind)["volumes"] if it["name"] == "scratch")
        assert "medium" not in scratch
    assert all("TMPDIR=/var/tmp" in " ".join(read_unit(unit)["Environment"]) for unit in UNITS)
    assert all("--tmpfs" not in page.read_text() for page in PAGES)


def test_every_kubernetes_service_keeps_its_variables_from_the_server() -> None:
    # one named neuron-whisper would set NEURON_WHISPER_PORT, which is a setting
    assert all(
        pod_spec(target, kind)["enableServiceLinks"] is False
        for target, kind in product(TARGETS, ("Job", "Deployment"))
    )


@pytest.mark.parametrize("target", TARGETS)
def test_manifests_name_each_other(target: str) -> None:
    found = read_manifests(target)
    assert sorted(found) == ["Deployment", "Job", "PersistentVolumeClaim", "Service"]

    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels == found["Service"]["spec"]["selector"]
    assert found["Job"]["spec"]["template"]["metadata"]["labels"] != labels  # or the Service would ask the compiler
    for kind in ("Job", "Deployment"):
        state = next(it for it in pod_spec(target, kind)["volumes"] if it["name"] == "state")
        assert state["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]
        mounted = {it["name"] for it in pod_spec(target, kind)["containers"][0]["volumeMounts"]}
        assert mounted == {it["name"] for it in pod_spec(target, kind)["volumes"]}


# --- monitoring -----------------------------------------------------------------------------------

MONITORING = DEPLOY / "monitoring"
BY_PROMETHEUS = {"up"}  # which it makes itself


def find_metric_names(text: str) -> set[str]:
    """Every metric that an expression of PromQL names."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", text)
    found = set(re.findall(r"\b(?:neuron_whisper|process)_\w+|\bup\b", bare))
    return found - BY_PROMETHEUS


def export_metric_names() -> set[str]:
    """The name of every sample that a server exports once everything has happened that is counted."""
    with run_server() as server, server.client() as client:
        server.post()
        server.post(b"no sound")
        text = client.get("/metrics").text
    return {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE ")} | {
        re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and line[0] != "#"
    }


def test_dashboard_and_alerts_name_metrics_that_the_server_has() -> None:
    exported = export_metric_names()
    # a histogram's and a counter's family is there before a sample of it is
    families = {*exported, *(f"{name}{end}" for name in exported for end in ("_bucket", "_sum", "_count", "_total"))}
    board = json.loads((MONITORING / "grafana.json").read_text())
    in_board = {name for panel in board["panels"] for it in panel["targets"] for name in find_metric_names(it["expr"])}
    in_board |= {name for it in board["templating"]["list"] for name in find_metric_names(str(it["query"]))}
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    in_alerts = {name for rule in rules for name in find_metric_names(rule["expr"])}

    assert len(in_board) > 20
    assert in_board <= families
    assert in_alerts <= families
    assert all(rule["labels"]["severity"] in ("page", "ticket") for rule in rules)
    assert len({rule["alert"] for rule in rules}) == len(rules)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_prometheus_reads_the_rules_that_lie_beside_it_and_scrapes_the_servers_port() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    assert [(MONITORING / name).exists() for name in config["rule_files"]] == [True]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "neuron-whisper"
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{ServerSettings().port}"]

"""The arguments of neuronx-cc for each graph: defaults by the kind of graph, under what a profile sets.

Sources: NxDI 0.9, models/model_wrapper.py (token generation by -O2 and the overlap options, prompts by -O1); AWS's
page of neuronx-cc's arguments; the compiler's release notes of SDK 2.32 for 64-bit integers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.neuron.instance import instance_family
from neuron_whisper.target.neuron.sdk import installed_versions

GRAPH_TAGS = ("encode", "prefill", "decode", "logits", "align")
STEP_TAGS = ("decode", "logits")
# Two physical cores are one logical core there, unless NEURON_LOGICAL_NC_CONFIG says otherwise.
LNC2_FAMILIES = ("trn2", "trn3")
FIRST_COMPILER_OF_NATIVE_INT64 = (2, 28)
# As token generation has them: collectives run beside computation and are not cut into pieces.
OVERLAP_OPTIONS = "--enable-ccop-compute-overlap --cc-pipeline-tiling-factor=1 --vectorize-strided-dma"

Options = dict[str, str | None]


def compiler_args(profile: CompileProfile, tag: str, versions: Mapping[str, str] | None = None) -> str:
    """The arguments for the graphs of `tag`, one of GRAPH_TAGS, and for these packages: the installed ones by default.

    `compiler.graphs.<tag>` of the profile goes before its `compiler.args`, and these before the defaults.

    NxD appends -O1 unless it finds -O with a digit, and --auto-cast=none unless it finds that word, so both are
    always written in the form that NxD searches for. Raises LoweringFailed when an option has two values.
    """
    given = _given_options(profile, tag)
    defaults = _default_options(profile, tag) | _integer_options(installed_versions() if versions is None else versions)
    missing = {name: value for name, value in defaults.items() if name not in given}
    return " ".join(_format_option(name, value) for name, value in {**given, **missing}.items())


def logical_cores(profile: CompileProfile) -> int:
    """Physical cores of each logical one, for which all graphs of a bundle are compiled. Raises LoweringFailed."""
    options = {tag: _default_options(profile, tag) | _given_options(profile, tag) for tag in GRAPH_TAGS}
    found = {tag: each.get("--lnc") or "1" for tag, each in options.items()}
    if len(set(found.values())) > 1:
        each = ", ".join(f"{tag} {value}" for tag, value in found.items())
        raise LoweringFailed("compiler.graphs", f"--lnc differs between graphs of one bundle: {each}")
    return int(found["decode"])


def with_log_file(args: str, tag: str) -> str:
    """`args` with the name of the compiler's log, in its working directory, unless they name one.

    NxD would append the log's whole path, and the compile cache's key is a hash of the arguments.
    """
    return args if "--logfile" in args else f"{args} --logfile={tag}.log"


def _given_options(profile: CompileProfile, tag: str) -> Options:
    """What the profile sets for the graphs of `tag`. Raises LoweringFailed."""
    for_all = _parse_options("compiler.args", profile.compiler.args)
    return for_all | _parse_options(f"compiler.graphs.{tag}", getattr(profile.compiler.graphs, tag))


def _default_options(profile: CompileProfile, tag: str) -> Options:
    """A step is run for every token and worth longer compiling; the others are large, and -O2 takes more memory."""
    is_step = tag in STEP_TAGS
    options: Options = {"--auto-cast": "none", "-O": "2" if is_step else "1", "--model-type": "transformer"}
    if is_step and profile.target.tp > 1:
        options["--tensorizer-options"] = OVERLAP_OPTIONS
    if instance_family(profile.target.instance) in LNC2_FAMILIES:
        options["--lnc"] = "2"
    return options


def _integer_options(versions: Mapping[str, str]) -> Options:
    """64-bit integers as compilers before took them: the graphs have none, NxD's own operations may."""
    try:
        compiler = tuple(int(part) for part in versions["neuronx-cc"].split(".")[:2])
    except ValueError:  # not known
        return {}
    if compiler < FIRST_COMPILER_OF_NATIVE_INT64:
        return {}
    return {"--native-int64": "disabled", "--implicit-integer-downcast": "all"}


def _parse_options(key: str, args: Iterable[str]) -> Options:
    """["--auto-cast", "none", "--optlevel=2"] -> {"--auto-cast": "none", "-O": "2"}"""
    other_names = {"--optlevel": "-O", "-lnc": "--lnc", "--logical-nc-config": "--lnc"}
    found: Options = {}
    name = ""
    for word in (part for arg in args for part in shlex.split(arg)):
        if not word.startswith("-"):
            if not name or found[name] is not None:
                raise LoweringFailed(key, f"{word!r} belongs to no option")
            found[name] = word
            continue
        name, _, text = word.partition("=")
        value: str | None = text or None
        if name.startswith("-O") and name[2:].isdigit():
            name, value = "-O", name[2:]
        name = other_names.get(name, name)
        if name in found and found[name] != value:
            raise LoweringFailed(key, f"{name} is given twice: {found[name]!r} and {value!r}")
        found[name] = value
    return found


def _format_option(name: str, value: str | None) -> str:
    if name == "-O":
        return f"-O{value}"
    return name if value is None else f"{name}={shlex.quote(value)}"

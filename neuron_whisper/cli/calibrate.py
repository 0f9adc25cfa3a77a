"""`calibrate`: makes the scales of a model's 8-bit encoder from speech."""

from __future__ import annotations

import shlex
from pathlib import Path

import rich_click as click

from neuron_whisper.cli.building import DEFAULT_MODEL, fetch_model
from neuron_whisper.cli.completion import complete_models
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json
from neuron_whisper.cli.progress import show_progress
from neuron_whisper.errors import InvalidOption

ENOUGH_SPEECH_S = 300.0  # the packaged scales were made of 330 s
MAX_AUDIO_S = 1800.0  # all of it is held, and every window is run with every layer's input kept


@click.command()
@click.option(
    "-m",
    "--model",
    shell_complete=complete_models,
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME",
    help="Short name, Hugging Face id or path of a checkpoint.",
)
@click.argument("speech", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the scales there, for compile --encoder-scales.  [default: the cache directory, where compile finds "
    "them]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_context
def calibrate(context: CliContext, model: str, speech: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Make the scales of a model's 8-bit encoder from speech and print their file.

    SPEECH are audio files, five minutes or more in the languages and conditions that the model is for. Profiles with
    weights.encoder = "int8" use the scales at the next compilation; those of base and tiny.en come with the package.
    """
    from neuron_whisper.audio.load import load_audio
    from neuron_whisper.audio.speech import detect_speech_spans
    from neuron_whisper.build import check_compile_packages, check_window
    from neuron_whisper.host.atomic_files import sync_directory
    from neuron_whisper.model.checkpoint import open_checkpoint
    from neuron_whisper.model.private_directory import make_private_directory
    from neuron_whisper.target.cpu import encoder_scales

    check_compile_packages("cpu")
    if out is not None and not out.parent.is_dir():
        raise InvalidOption("--out", str(out), "a file in a directory that exists")
    checkpoint = open_checkpoint(fetch_model(context, model))
    check_window(checkpoint)
    clips = [load_audio(path) for path in speech]
    total = sum(clip.duration_s for clip in clips)
    if total > MAX_AUDIO_S:
        raise InvalidOption("SPEECH", f"{total:.0f} s", f"at most {MAX_AUDIO_S:.0f} s of audio")
    seconds = sum(span.duration_s for clip in clips for span in detect_speech_spans(clip))
    if not seconds:
        raise InvalidOption("SPEECH", ", ".join(path.name for path in speech), "recordings of speech; none was found")
    if seconds < ENOUGH_SPEECH_S:
        context.info(
            f"warning: SPEECH: {seconds:.0f} s of speech are little to calibrate with; {ENOUGH_SPEECH_S:.0f} s are "
            "enough"
        )
    from neuron_whisper.target.cpu.calibration.calibrate import calibrate as make_scales
    from neuron_whisper.target.cpu.lowering.encoder_int8 import choose_layers, estimate_error

    fingerprint = encoder_scales.fingerprint_encoder(checkpoint)
    path = out or encoder_scales.scales_file(context.cache / encoder_scales.CACHE_FOLDER, fingerprint)
    with show_progress(context, "steps") as report:
        what = f"{len(clips)} clips, {seconds:.0f} s of speech"
        scales = make_scales(checkpoint, [clip.samples for clip in clips], speech=what, progress=report)
    if out is None:
        make_private_directory(path.parent)
        sync_directory(path.parent)
    encoder_scales.write_scales(path, scales, fingerprint)
    chosen = choose_layers(scales)
    layers = [name for name in scales.layers if name in chosen]
    error = estimate_error(scales, chosen)
    context.info(f"{len(layers)} of {len(scales.layers)} layers in 8 bit; the encoder's error: about {error:.3f}")
    named = [] if out is None else ["--encoder-scales", str(out)]
    command = shlex.join(["neuron-whisper", "compile", "-m", model, "--profile", "cpu-fast", *named])
    context.info(f"to use them: {command}")
    if as_json:
        kept = [name for name in scales.layers if name not in chosen]
        echo_json({"model": model, "path": str(path), "layers": layers, "kept": kept, "error": round(error, 4)})
    else:
        click.echo(str(path))

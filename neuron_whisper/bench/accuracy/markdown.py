"""Formats the report as Markdown: machine and options, a table of systems, and the clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neuron_whisper.bench.accuracy.metrics import CHARACTER_LANGUAGES
from neuron_whisper.bench.accuracy.report import OPENAI_WHISPER, count_errors
from neuron_whisper.bench.reporting.markdown import DASH, escape_cell, format_table

Document = Mapping[str, Any]
HEADER_OPTIONS = ("runs", "threads", "one_at_a_time")  # of which the header has a sentence


def format_markdown(document: Document) -> str:
    """The whole report, ending in a newline."""
    parts = [
        "# Accuracy and speed",
        *_format_header(document),
        _format_systems(document),
        *_format_graphs(document),
        *_format_languages(document),
        *_format_agreement_by_language(document),
        *_format_skipped(document),
        "## Clips",
        _format_clips(document),
        *_format_texts(document),
    ]
    return "\n\n".join(parts) + "\n"


def format_summary(document: Document) -> str:
    """The tables of systems and languages and what was skipped, for a terminal."""
    parts = [_format_systems(document), *_format_agreement_by_language(document), *_format_skipped(document)]
    return "\n\n".join(parts) + "\n"


# --- parts ----------------------------------------------------------------------------------------


def _format_header(document: Document) -> Iterator[str]:
    machine, options, speech = document["machine"], document["options"], document["speech"]
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine["memory_bytes"] else "unknown memory"
    flags = ", ".join(machine["instruction_sets"]) or "none of note"
    order = "each loaded when the one before had ended" if options.get("one_at_a_time") else "systems in turns"
    load = f"load {machine['load_before']:g} before it began"
    lines = [
        f"{document['date']}, `{document['command']}`",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {memory}, {flags}; {load}.",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in document["versions"].items()) + ".",
        f"Speech: {speech['clips']} clips, {speech['audio_s']:.0f} s, {', '.join(speech['languages'])}. "
        f"Medians of {options['runs']} runs, {order}, {options['threads']} threads each, one clip after the "
        "other; decoding of audio files is not counted.",
        "Options: "
        + ", ".join(f"{name} {_format_value(value)}" for name, value in options.items() if name not in HEADER_OPTIONS)
        + ".",
    ]
    yield "\n\n".join(lines)


def _format_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return "greedy" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _format_systems(document: Document) -> str:
    systems = document["systems"]
    streams = list(dict.fromkeys(n for system in systems for n in system["throughput"]))
    agrees = any(system["as_openai_whisper"] for system in systems)
    head = [
        "system",
        "WER %",
        "sub+del+ins / words",
        "CER %",
        "RTF",
        "x real time",
        "p50 s",
        "p95 s",
        "p99 s",
        *(f"{n} at a time" for n in streams),
        "load s",
        "peak MB",
        *(["text / tokens as openai-whisper"] * agrees),
        "artifact",
    ]
    rows = []
    for system in systems:
        row = [
            system["name"],
            _format_percent(system["wer"]),
            _format_counts(system["wer"]),
            _format_percent(system["cer"]),
            f"{system['rtf']:.4f}",
            f"{system['speed']:.1f}",
            *(f"{seconds:.2f}" for seconds in system["latency_s"].values()),
            *(_format_throughput(system, n) for n in streams),
            f"{system['load_s']:.1f}",
            f"{system['peak_bytes'] / 1e6:.0f}",
        ]
        if agrees:
            row.append(_format_agreement(system["as_openai_whisper"], document["speech"]["clips"]))
        rows.append([*row, f"`{system['artifact_key'][:16]}`" if "artifact_key" in system else DASH])
    notes = [f"{system['name']}: {system['note']}." for system in systems if system.get("note")]
    n_clips = document["speech"]["clips"]
    notes += [
        f"{system['name']}: the text of {found['same_text']} of {n_clips} clips is neuron-whisper's."
        for system in systems
        if not agrees and (found := system["as_neuron_whisper"])
    ]
    notes += [f"{system['name']}: its text changed between runs." for system in systems if system["texts_vary"]]
    if streams:
        notes.append(
            "N at a time: seconds of audio per second by N threads that share one system; "
            "(1) marks a system that takes one clip at a time."
        )
    toolchains = [document["versions"], *(system.get("toolchain", {}) for system in systems)]
    if any("simulated" in number for versions in toolchains for number in versions.values()):
        notes.append("Neuron packages are simulated: times say nothing of a device.")
    return "\n\n".join([format_table(head, rows), *(["\n".join(f"- {line}" for line in notes)] if notes else [])])


def _format_throughput(system: Mapping[str, Any], streams: str) -> str:
    value = system["throughput"].get(streams)
    return DASH if value is None else f"{value:.1f}" + " (1)" * (system["is_serial"] and streams != "1")


def _format_agreement(found: Mapping[str, Any] | None, n_clips: int) -> str:
    if found is None:
        return DASH
    tokens = DASH if found["same_tokens"] is None else f"{found['same_tokens']}/{n_clips}"
    return f"{found['same_text']}/{n_clips} / {tokens}"


def _format_graphs(document: Document) -> Iterator[str]:
    """What a call of each graph took, where an engine knows."""
    rows = [
        [
            system["name"],
            graph,
            f"{found['calls']}",
            f"{1000 * found['mean_s']:.2f}",
            DASH if found["to_host_bytes"] is None else f"{found['to_host_bytes']:,}",
        ]
        for system in document["systems"]
        for graph, found in system["graphs"].items()
    ]
    if rows:
        yield "## Graphs"
        yield format_table(["system", "graph", "calls", "ms a call", "bytes to the host a call"], rows)


def _format_languages(document: Document) -> Iterator[str]:
    languages = document["speech"]["languages"]
    if len(languages) < 2:
        return
    yield "## Languages"
    head = ["system", *(f"{language} WER % / CER %" for language in languages)]
    rows = []
    for system in document["systems"]:
        found = [system["languages"][language] for language in languages]
        rows.append([system["name"], *(f"{_format_percent(it['wer'])} / {_format_percent(it['cer'])}" for it in found)])
    yield format_table(head, rows)


def _format_agreement_by_language(document: Document) -> Iterator[str]:
    """Texts, tokens and errors beside openai-whisper's on the same model; nothing where that did not run."""
    theirs = {system["model"]: system for system in document["systems"] if system["engine"] == OPENAI_WHISPER}
    rows = [
        [
            system["name"],
            language,
            found["clips"],
            agreement["same_normalised_text"],
            agreement["same_text"],
            DASH if agreement["same_tokens"] is None else agreement["same_tokens"],
            *_list_errors(language, found, theirs[system["model"]]["languages"][language]),
        ]
        for system in document["systems"]
        for language, found in system["languages"].items()
        if (agreement := found["as_openai_whisper"])
    ]
    if not rows:
        return
    yield "## Beside openai-whisper by language"
    head = ["system", "language", "clips", "same normalised text", "same text", "same tokens"]
    yield format_table([*head, "wrong words", "openai-whisper's", "of"], rows, left=2)
    yield (
        "Normalised by openai-whisper's normaliser of the language. Timestamps are among the tokens. Wrong words are "
        "substitutions, deletions and insertions; of "
        f"{', '.join(sorted(CHARACTER_LANGUAGES))} characters are counted."
    )


def _list_errors(language: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[int]:
    """Errors of both and the reference's length, in words, or in characters where the language is scored by them."""
    kind = "cer" if language in CHARACTER_LANGUAGES else "wer"
    return [count_errors(ours[kind]), count_errors(theirs[kind]), ours[kind]["reference"]]


def _format_skipped(document: Document) -> Iterator[str]:
    if document["skipped"]:
        yield "\n".join(
            f"- not measured: **{it['name']}**: {it['reason']}" + f"; `{it['install']}`" * bool(it["install"])
            for it in document["skipped"]
        )


def _format_clips(document: Document) -> str:
    head = ["clip", "s", *(f"{system['name']}: errors / of, s" for system in document["systems"])]
    rows = [
        [
            clip["name"],
            f"{clip['audio_s']:.1f}",
            *(
                f"{_format_errors(system['clips'][n])}, {system['clips'][n]['seconds']:.2f}"
                for system in document["systems"]
            ),
        ]
        for n, clip in enumerate(document["clips"])
    ]
    return format_table(head, rows)


def _format_texts(document: Document) -> Iterator[str]:
    """Texts of clips with errors, and of those where neuron-whisper differs from openai-whisper."""
    systems = document["systems"]
    chosen = {n for system in systems for n, clip in enumerate(system["clips"]) if _sum_errors(clip)["errors"]}
    for system in systems:
        if system["engine"] == "neuron-whisper" and system["as_openai_whisper"]:
            chosen.update(system["as_openai_whisper"]["differing"])
    if not chosen:
        return
    yield "## Texts with errors or differences"
    for n in sorted(chosen):
        clip = document["clips"][n]
        names_of_text: dict[str, list[str]] = {}
        for system in systems:
            names_of_text.setdefault(system["clips"][n]["text"], []).append(system["name"])
        lines = [f"**{escape_cell(clip['name'])}**", f"- reference: {escape_cell(clip['reference'])}"]
        lines += [f"- {', '.join(names)}: {escape_cell(text) or '(nothing)'}" for text, names in names_of_text.items()]
        yield "\n".join(lines)


# --- cells ----------------------------------------------------------------------------------------


def _sum_errors(clip: Mapping[str, Any]) -> dict[str, int]:
    """Words, or characters where the language is scored by them."""
    counts = clip["words"] if clip["words"] is not None else clip["characters"]
    return {
        "errors": count_errors(counts),
        "of": counts["reference"],
    }


def _format_errors(clip: Mapping[str, Any]) -> str:
    counts = _sum_errors(clip)
    return f"{counts['errors']} / {counts['of']}"


def _format_percent(rate: Mapping[str, Any]) -> str:
    return DASH if rate["rate"] is None else f"{100 * rate['rate']:.2f}"


def _format_counts(rate: Mapping[str, Any]) -> str:
    if not rate["reference"] and not rate["insertions"]:
        return DASH
    return f"{rate['substitutions']}+{rate['deletions']}+{rate['insertions']} / {rate['reference']}"

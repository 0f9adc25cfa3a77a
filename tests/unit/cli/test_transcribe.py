"""What `transcribe` prints and refuses, without a model."""

from __future__ import annotations

from neuron_whisper.cli.transcribe import explain_decoding
from neuron_whisper.transcript import Retry, Segment, SkippedRegion, Transcript


def test_explain_decoding_names_every_retry_truncation_and_skipped_region() -> None:
    segment = Segment(
        id=0,
        seek_s=0.0,
        start_s=0.0,
        end_s=2.5,
        text=" Hm.",
        tokens=(1,),
        temperature=0.4,
        avg_logprob=-0.5,
        compression_ratio=1.0,
        no_speech_prob=0.1,
        is_truncated=True,
        retries=(Retry(temperature=0.0, reason="compression_ratio"), Retry(temperature=0.2, reason="avg_logprob")),
    )
    region = SkippedRegion(start_s=2.5, end_s=30.0, reason="no_speech_threshold", text="Thank you.")
    transcript = Transcript(text="Hm.", language="en", duration_s=30.0, segments=(segment,), skipped=(region,))
    assert list(explain_decoding(transcript)) == [
        "0.00-2.50 s: decoded at temperature 0.4 after 0 (compression_ratio), 0.2 (avg_logprob)",
        "0.00-2.50 s: a repetition loop at the window's end was truncated",
        "2.50-30.00 s: skipped, no_speech_threshold: 'Thank you.'",
    ]

"""The form that the demo sends, and the times that it reads; tests/integration/test_cli.py runs its server."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from neuron_whisper.cli.demo.serving import encode_multipart, parse_graph_times


def test_a_form_reads_back_with_its_fields_and_file() -> None:
    content = b"RIFF\r\n--\x00"
    body, content_type = encode_multipart({"model": "whisper-1"}, 'a"b.wav', content)
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }
    assert parts == {"model": b"whisper-1", "file": content}
    assert b'filename="a_b.wav"' in body


def test_times_of_graphs_are_read_from_metrics_over_all_models() -> None:
    text = """# HELP neuron_whisper_encode_seconds Seconds of an encode call, a batch of windows.
# TYPE neuron_whisper_encode_seconds histogram
neuron_whisper_encode_seconds_bucket{le="0.001",model="a"} 0.0
neuron_whisper_encode_seconds_count{model="a"} 3.0
neuron_whisper_encode_seconds_sum{model="a"} 1.5
neuron_whisper_encode_seconds_count{model="b"} 1.0
neuron_whisper_encode_seconds_sum{model="b"} 0.5
neuron_whisper_step_seconds_count{model="a"} 4.0
neuron_whisper_step_seconds_sum{model="a"} 1e-1
neuron_whisper_align_seconds_count{model="a"} 0.0
neuron_whisper_align_seconds_sum{model="a"} 0.0
neuron_whisper_request_seconds_count{route="/"} 9.0
"""
    assert parse_graph_times(text) == {"encode": {"calls": 4, "mean_s": 0.5}, "decode": {"calls": 4, "mean_s": 0.025}}
    assert parse_graph_times("") == {}

"""What a report leaves out: secrets, home directories, the host's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.cli.demo.public_text import PublicText

ENVIRONMENT = {
    "HF_TOKEN": "verysecretvalue",
    "AWS_SECRET_ACCESS_KEY": "abc/def+ghi",
    "NEURON_WHISPER_API_KEYS_FILE": "/etc/keys",
    "PIN_TOKEN": "12345",  # too short to be replaced wherever it stands
    "PATH": "/usr/bin",
}
PUBLIC = PublicText(ENVIRONMENT, home="/data/alice", host="ip-10-0-0-7")


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/data/alice/.cache/neuron-whisper: others can write it", "~/.cache/neuron-whisper: others can write it"),
        ("'/data/alice'", "'~'"),
        ("/data/alicea/x", "/data/alicea/x"),
        ("/home/ubuntu/models/x.pt", "~/models/x.pt"),
        ("(/home/bob), /Users/eve/x", "(~), ~/x"),
        ("/root/.cache, /root", "~/.cache, ~"),
        ("/opt/root/lib /rooted", "/opt/root/lib /rooted"),
        ("srv.example/home/page", "srv.example/home/page"),
        ("pip: https://me:pw@index.example/simple/", "pip: https://***@index.example/simple/"),
        ("pid 7 (serve --api-key topsecret --port 1)", "pid 7 (serve --api-key *** --port 1)"),
        ("--hf-token=abcdef -v", "--hf-token=*** -v"),
        ("HF_TOKEN=abc x", "HF_TOKEN=*** x"),
        ("https://b.s3/x?X-Amz-Signature=0f&y=1", "https://b.s3/x?X-Amz-Signature=***&y=1"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("token hf_abcdefghijklmnopqrst", "token ***"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("it says verysecretvalue aloud", "it says *** aloud"),
        ("abc/def+ghi", "***"),
        ("PIN 12345, keys in /etc/keys", "PIN 12345, keys in /etc/keys"),
        ("on ip-10-0-0-7: refused", "on HOST: refused"),
        ("ip-10-0-0-71", "ip-10-0-0-71"),
        ("artifact key 7dcbc73b7a2b7aa9, tokens 5", "artifact key 7dcbc73b7a2b7aa9, tokens 5"),
    ],
)
def test_a_text_is_made_public(text: str, public: str) -> None:
    assert PUBLIC.rewrite(text) == public


def test_all_texts_of_a_document_are_rewritten_and_other_values_kept() -> None:
    document = {"a": ["/data/alice/x", 1, None, True], "/data/alice": {"rtf": 0.5}, "key": ("verysecretvalue",)}
    assert PUBLIC.rewrite_all(document) == {"a": ["~/x", 1, None, True], "~": {"rtf": 0.5}, "key": ["***"]}


@given(st.text(), st.text())
def test_no_text_holds_a_secret_or_the_home_directory(before: str, after: str) -> None:
    public = PUBLIC.rewrite(f"{before}verysecretvalue{after} /data/alice/x")
    assert "verysecretvalue" not in public
    assert "/data/alice/x" not in public


@given(st.text())
def test_a_public_text_stays_as_it_is(text: str) -> None:
    once = PUBLIC.rewrite(text)
    assert PUBLIC.rewrite(once) == once


def test_without_a_home_directory_or_a_name_nothing_is_replaced() -> None:
    assert PublicText({}, home="", host="").rewrite("/data/x on a host") == "/data/x on a host"

"""Whatever huggingface_hub raises becomes one sentence about what to do, without a secret in it."""

from __future__ import annotations

import errno

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from neuron_whisper.artifact.sharing.hub_errors import (
    RepositoryMissing,
    RepositoryMoved,
    check_token,
    explain_hub_error,
    hide_secrets,
    translate_hub_errors,
)
from neuron_whisper.errors import InvalidOption, TransferFailed

SECRET = "hf_abcDEF123456"


def http_error(status: int, message: str = "") -> HfHubHTTPError:
    response = httpx2.Response(status, request=httpx2.Request("GET", "https://hub.test/api"))
    return HfHubHTTPError(f"{status} for https://hub.test/api", response=response, server_message=message)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (401, "", "the hub wants a token, or refuses this one; HF_TOKEN or `hf auth login` gives a token"),
        (403, "read only", "this token may not do that (read only); give one with the right to this repository"),
        (
            403,
            "Private repository storage limit reached",
            "the hub has no room for it (Private repository storage limit reached); "
            "delete what is old there, or raise its owner's limit",
        ),
        (404, "", "the hub does not have it"),
        (413, "", "the hub has no room for it; delete what is old there, or raise its owner's limit"),
        (429, "", "too many requests; try again later"),
        (503, "down", "the hub answers with an error of its own, 503 (down); try again later"),
        (418, "", "the hub answers with 418: 418 for https://hub.test/api"),
    ],
)
def test_a_status_says_what_to_do(status: int, message: str, expected: str) -> None:
    assert explain_hub_error(http_error(status, message)) == (TransferFailed, expected)


def test_a_change_by_somebody_else_has_a_class_of_its_own() -> None:
    assert explain_hub_error(http_error(412))[0] is RepositoryMoved


def test_the_cause_is_found_behind_the_error_that_hides_it() -> None:
    error = RuntimeError("Error while uploading 'weights.bin' to the Hub.")
    error.__cause__ = http_error(403, "no")
    assert explain_hub_error(error)[1].startswith("this token may not do that (no)")
    hidden = LocalEntryNotFoundError("cannot find the file, check your connection")
    hidden.__cause__ = OfflineModeIsEnabled("offline")
    assert explain_hub_error(hidden)[1] == "the hub is not asked: HF_HUB_OFFLINE is set; unset it"


def test_a_full_disk_is_named_wherever_it_was_noticed() -> None:
    error = RuntimeError("download failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert explain_hub_error(error)[1].startswith("no space is left on the disk; ")


def test_a_refused_connection_is_named() -> None:
    assert explain_hub_error(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))[1] == (
        "the hub cannot be reached, or its answer is not a hub's: [Errno 111] Connection refused"
    )


def test_what_this_machine_refuses_is_not_blamed_on_the_hub() -> None:
    with pytest.raises(PermissionError), translate_hub_errors("me/it"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_errors_of_ours_and_interrupts_pass() -> None:
    for error in (InvalidOption("REPO", "x", "y"), RepositoryMissing("me/it", "gone"), KeyboardInterrupt()):
        with pytest.raises(type(error)), translate_hub_errors("me/it"):
            raise error


@pytest.mark.parametrize(
    "text",
    [
        f"Illegal header value b'Bearer {SECRET}\\x01'",
        f"url 'https://user:{SECRET}@hub.test/api'",
        f"403 for https://bucket.test/a?X-Signature={SECRET}&b=1",
        f"the token {SECRET} is wrong",
    ],
)
def test_a_message_has_no_token_and_no_signature(text: str) -> None:
    assert SECRET not in hide_secrets(text)
    assert SECRET.removeprefix("hf_") not in hide_secrets(text)


def test_a_message_is_one_short_printable_line() -> None:
    assert hide_secrets("\n  first\x1b[31m\nsecond") == "first [31m"
    assert len(hide_secrets("x" * 9999)) == 300
    assert hide_secrets("") == "it gave no reason"


def test_the_error_is_not_chained_to_one_that_may_hold_a_secret() -> None:
    with pytest.raises(TransferFailed) as caught, translate_hub_errors("me/it"):
        raise ValueError(f"Bearer {SECRET}")
    assert caught.value.__suppress_context__
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("token", [f"{SECRET}\x01", f"{SECRET} x", f"{SECRET}é", ""])
def test_a_token_that_no_header_holds_is_refused_unseen(token: str) -> None:
    with pytest.raises(InvalidOption, match="HF_TOKEN") as caught:
        check_token(token)
    assert SECRET not in str(caught.value)


def test_a_token_and_none_are_taken() -> None:
    check_token(SECRET)
    check_token(None)

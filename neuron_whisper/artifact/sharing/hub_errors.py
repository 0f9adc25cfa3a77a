"""What goes wrong between this machine and the Hugging Face hub, as one sentence that says what to do."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from neuron_whisper.errors import InvalidOption, NeuronWhisperError, TransferFailed

LOG_IN = "HF_TOKEN or `hf auth login` gives a token"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MESSAGE_LIMIT_CHARS = 300
_SECRETS = (
    (re.compile(r"\bhf_[A-Za-z0-9_-]{4,}"), "hf_***"),  # tokens of the hub
    (re.compile(r"(?i)\b(bearer)\s+[^\s'\"]+"), r"\1 ***"),
    (re.compile(r"//[^/@\s]+@"), "//"),  # user and password in an address
    (re.compile(r"\?[^\s'\"<>)]+"), ""),  # a signed address is as good as a token
)


class RepositoryMissing(TransferFailed):
    """The hub has no such repository, or this user may not see it."""


class RepositoryMoved(TransferFailed):
    """Somebody else has changed the repository since it was read."""


@contextmanager
def translate_hub_errors(repository: str) -> Iterator[None]:
    """Raises TransferFailed in place of whatever huggingface_hub and its HTTP library raise in the block.

    Each version of huggingface_hub lets other HTTP libraries' errors through. Their own messages hold addresses, and
    some hold headers, so that they are not chained to the error.
    """
    try:
        yield
    except (NeuronWhisperError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        if _is_of_this_machine(error):
            raise
        kind, reason = explain_hub_error(error)
        raise kind(repository, reason) from None


def explain_hub_error(error: BaseException) -> tuple[type[TransferFailed], str]:
    """The class and the reason of the TransferFailed that stands for `error`."""
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    causes = list(_iter_causes(error))
    if any(isinstance(it, OSError) and it.errno in _NO_SPACE for it in causes):
        return TransferFailed, "no space is left on the disk; `artifacts prune` frees some, --cache names another place"
    for it in causes:  # the outermost that has a reason
        if isinstance(it, ValueError) and (refusal := _find_card_refusal(str(it))):
            return TransferFailed, f"the hub refuses the front matter of the card: {refusal}; change that of --card"
        if isinstance(it, OfflineModeIsEnabled):
            return TransferFailed, "the hub is not asked: HF_HUB_OFFLINE is set; unset it"
        if isinstance(it, GatedRepoError):
            return TransferFailed, f"access needs an agreement on its page, and a token: {LOG_IN}"
        if isinstance(it, RepositoryNotFoundError):
            return RepositoryMissing, f"the hub knows no such repository, or this user may not see it; {LOG_IN}"
        if isinstance(it, RevisionNotFoundError):
            return TransferFailed, "the hub has no such revision of it; give a branch, a tag or a commit that it has"
        if isinstance(status := getattr(getattr(it, "response", None), "status_code", None), int):
            return _explain_status(status, str(getattr(it, "server_message", None) or ""), it)
    first = next((it for it in causes if _is_of_network(it)), causes[-1])
    return TransferFailed, f"the hub cannot be reached, or its answer is not a hub's: {hide_secrets(str(first))}"


def _find_card_refusal(message: str) -> str:
    """What the hub says against a card, in huggingface_hub's words for it; "" for another error."""
    head, _, rest = message.partition("\n")
    return hide_secrets(rest).removeprefix("- ") if head.startswith("Invalid metadata in README.md") else ""


def hide_secrets(text: str) -> str:
    """The first line of a message that is not ours, printable and short, without tokens and signed addresses."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = "".join(char if char.isprintable() else " " for char in lines[0]) if lines else "it gave no reason"
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line[:_MESSAGE_LIMIT_CHARS]


def check_token(token: str | None) -> None:
    """Raises InvalidOption for a token that no header can hold; an HTTP library would show it in its error."""
    if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise InvalidOption("HF_TOKEN", "***", "a token as the hub gave it: ASCII without spaces")


def _is_of_this_machine(error: Exception) -> bool:
    """Whether the operating system refused something else than a connection, and the disk is not full."""
    is_local = isinstance(error, OSError) and error.errno is not None and error.errno not in _NO_SPACE
    return is_local and not isinstance(error, (ConnectionError, TimeoutError, socket.gaierror))


def _iter_causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _is_of_network(error: BaseException) -> bool:
    return isinstance(error, (ConnectionError, TimeoutError)) or "Connect" in type(error).__name__


def _explain_status(status: int, message: str, error: BaseException) -> tuple[type[TransferFailed], str]:
    said = f" ({hide_secrets(message)})" if message.strip() else ""
    if status == 401:
        return TransferFailed, f"the hub wants a token, or refuses this one{said}; {LOG_IN}"
    if status == 402 or status == 413 or "storage" in message.lower():
        return TransferFailed, f"the hub has no room for it{said}; delete what is old there, or raise its owner's limit"
    if status == 403:
        return TransferFailed, f"this token may not do that{said}; give one with the right to this repository"
    if status == 404:
        return TransferFailed, f"the hub does not have it{said}"
    if status in (409, 412):
        return RepositoryMoved, f"somebody else changes it at this moment{said}; try again"
    if status == 429:
        return TransferFailed, f"too many requests{said}; try again later"
    if status >= 500:
        return TransferFailed, f"the hub answers with an error of its own, {status}{said}; try again later"
    return TransferFailed, f"the hub answers with {status}{said or ': ' + hide_secrets(str(error))}"

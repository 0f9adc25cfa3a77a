"""The error tree, ordered by who must act.

- NeuronWhisperError
  - InputError: the caller changes the request
    - AudioUnreadable (AudioForged), AudioTooLong, AudioTooLarge, AudioTooCostly, InvalidOption (MissingOption,
      UnknownOption), UnknownModel, OutputUnwritable, UnknownJob, InvalidJobState, UrlFetchFailed
  - CapacityError: the caller waits or the operator adds capacity
    - QueueFull, Overloaded, ClientBusy, EngineDraining, DeadlineExceeded, ModelUnavailable, DecoderUnavailable,
      JobsFull, StorageFull
  - BuildError: the profile, the checkpoint or the machine must be changed to compile
    - ProfileError, CheckpointError, ScalesError, FetchFailed, LoweringFailed (CompilerKilled), HostMemoryTooSmall
  - ArtifactError: the artifact must be compiled again, or the cache repaired
    - ArtifactNotFound, ArtifactCorrupt, ArtifactIncompatible, ArtifactOutdated, ArtifactUnsafe, GoldenTokenMismatch,
      TransferFailed
  - TargetUnavailable: the operator installs what the message names
  - DecodingFailed: this request cannot be decoded; others are not affected
  - DeviceError: the process ends and its supervisor starts it again
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Self

MAX_MATCHED_CHARS = 100  # of an unknown name that is compared with the known ones: the time grows with its square
MAX_LISTED_OPTIONS = 12  # a longer list of known names is documentation, not a message
MAX_SHOWN_MISMATCHES = 8  # of golden tokens
COMPILE_ELSEWHERE = "compiling needs no Neuron device (--instance inf2); `artifacts export` and `import` bring it here"


class NeuronWhisperError(Exception):
    """Every error this package raises on purpose."""


# --- InputError -------------------------------------------------------------------------------


class InputError(NeuronWhisperError):
    """The request itself is wrong."""


class AudioUnreadable(InputError):
    """`source` holds no audio that can be decoded; `reason` says why."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}")


class AudioForged(AudioUnreadable):
    """The headers of `source` promise more than its bytes can hold, and a decoder would reserve memory for it."""


class AudioTooLong(InputError):
    """The audio decodes to more than `limit_s` seconds, which `setting` sets."""

    def __init__(self, source: str, limit_s: float, setting: str = "--max-audio-s") -> None:
        self.source, self.limit_s, self.setting = source, limit_s, setting
        limit = f"{limit_s:,.10g} second{'' if limit_s == 1 else 's'}"
        super().__init__(
            f"{source}: the audio is longer than the limit of {limit}; raise {setting}, or split the audio"
        )


class AudioTooLarge(InputError):
    """`what`, the file or the decoded audio, is larger than `limit_bytes`."""

    def __init__(self, source: str, what: str, limit_bytes: int) -> None:
        self.source, self.what, self.limit_bytes = source, what, limit_bytes
        super().__init__(f"{source}: {what} is larger than the limit of {limit_bytes:,} bytes")


class AudioTooCostly(InputError):
    """Decoding `source` was given up: it reached the limit `limit` (memory, processor, progress, killed)."""

    def __init__(self, source: str, limit: str, reason: str) -> None:
        self.source, self.limit, self.reason = source, limit, reason
        super().__init__(f"{source}: decoding it was given up: {reason}; convert it to WAV or FLAC")


class InvalidOption(InputError):
    """Option `field` has `value`; `allowed` says what it may be.

    InvalidOption("beam_size", 0, "a whole number from 1") -> "beam_size: 0 is not allowed; a whole number from 1"
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(self._describe())

    def _describe(self) -> str:
        return f"{self.field}: {self.value!r} is not allowed; {self.allowed}"

    def with_field(self, field: str) -> Self:
        """The same error about a field that has another name where the caller wrote it."""
        return self._replace(field=field)

    def with_note(self, note: str) -> Self:
        """The same error with `note` at the end of its message."""
        return self._replace(allowed=self.allowed + note)

    def _replace(self, **changes: str) -> Self:
        # copy.copy would call the class with the message in place of its fields
        error = type(self).__new__(type(self))
        vars(error).update(vars(self), **changes)
        error.args = (error._describe(),)
        return error


class MissingOption(InvalidOption):
    """Required option `field` was not given; `hint` says how to give it.

    MissingOption("file", "send the audio as the form field 'file'") -> "file: missing; send the audio as ..."
    """

    def __init__(self, field: str, hint: str) -> None:
        super().__init__(field, None, hint)

    def _describe(self) -> str:
        return f"{self.field}: missing; {self.allowed}"


class TextTooLong(InvalidOption):
    """The text of `field` has `length` units, more than the limit; None: it was not read to its end.

    TextTooLong("prompt", 20_000, 16_384) -> "prompt: 20,000 characters are not allowed; at most 16,384"
    TextTooLong("prompt", None, 16_384) -> "prompt: more than 16,384 characters are not allowed; send fewer"
    """

    def __init__(self, field: str, length: int | None, limit: int, *, unit: str = "characters") -> None:
        self.unit = unit
        self._count = f"more than {limit:,}" if length is None else f"{length:,}"
        super().__init__(field, length, "send fewer" if length is None else f"at most {limit:,}")

    def _describe(self) -> str:
        return f"{self.field}: {self._count} {self.unit} are not allowed; {self.allowed}"


class UnknownOption(InvalidOption):
    """There is no option `field`; `known` are those there are, and the nearest of them are suggested.

    UnknownOption("beamsize", ["beam_size"]) -> "beamsize: unknown field; did you mean beam_size?"
    """

    def __init__(self, field: str, known: Iterable[str], *, kind: str = "field") -> None:
        self.kind, self.known = kind, tuple(known)
        near = get_close_matches(field[:MAX_MATCHED_CHARS], self.known)
        super().__init__(field, None, f"did you mean {' or '.join(near)}?" if near else self._list_known())

    def _list_known(self) -> str:
        return f"known here: {', '.join(self.known)}" if 0 < len(self.known) <= MAX_LISTED_OPTIONS else ""

    def _describe(self) -> str:
        return f"{self.field}: unknown {self.kind}{'; ' if self.allowed else ''}{self.allowed}"


class UnknownModel(InputError):
    """There is no model `name`; `known` are the names that exist."""

    def __init__(self, name: str, known: Iterable[str] = (), hint: str = "") -> None:
        self.name, self.known, self.hint = name, tuple(known), hint
        names = f"; known here: {', '.join(self.known)}" if self.known else ""
        super().__init__(f"no model named {name!r}{names}{'; ' + hint if hint else ''}")


class ListenFailed(InputError):
    """The server cannot listen on `address`."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(f"cannot listen on {address}: {reason}; choose another --host or --port")


class OutputUnwritable(InputError):
    """The output at `path`, a file or stdout, cannot be written; `reason` says why."""

    def __init__(self, path: Path | str, reason: OSError | str) -> None:
        self.path = Path(path)
        self.reason = reason if isinstance(reason, str) else (reason.strerror or str(reason))
        super().__init__(f"{path}: cannot be written, {self.reason[:1].lower()}{self.reason[1:]}; choose another place")


class UnknownJob(InputError):
    """There is no job `job_id`, or it belongs to another API key."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"no job {job_id!r}")


class InvalidJobState(InputError):
    """Job `job_id` does not allow the operation while it is `status`."""

    def __init__(self, job_id: str, status: str, reason: str) -> None:
        self.job_id, self.status = job_id, status
        super().__init__(f"job {job_id} is {status}: {reason}")


class UrlFetchFailed(InputError):
    """The URL in a request could not be fetched from `host`."""

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"{host}: {reason}")


class ModelClosed(InputError):
    """A model is used after its `close`."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the model {name} is closed; load it again")


class ModelForked(InputError):
    """A model that was opened before os.fork is used in the child, which has none of its threads."""

    def __init__(self, name: str, opened_by: int) -> None:
        self.name, self.opened_by = name, opened_by
        super().__init__(f"the model {name} was loaded by process {opened_by} before a fork; load it after the fork")


# --- CapacityError ----------------------------------------------------------------------------


class CapacityError(NeuronWhisperError):
    """The request is valid; there is no capacity for it now. `retry_after_s` estimates when there will be."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class QueueFull(CapacityError):
    """The queue holds its maximum of windows."""

    def __init__(self, limit: int, retry_after_s: float = 1.0) -> None:
        self.limit = limit
        super().__init__(f"the queue is full: {limit} windows are waiting", retry_after_s)


class EngineDraining(CapacityError):
    """The engine finishes its windows and accepts no new ones."""

    def __init__(self, retry_after_s: float = 5.0) -> None:
        super().__init__("the engine is draining and takes no new work", retry_after_s)


class Overloaded(CapacityError):
    """This request would wait too long behind the others; `reason` gives the numbers."""

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        self.reason = reason
        super().__init__(f"the server is busy: {reason}", retry_after_s)


class ClientBusy(CapacityError):
    """This client has its maximum of requests in flight."""

    def __init__(self, limit: int, retry_after_s: float = 1.0) -> None:
        self.limit = limit
        super().__init__(f"{limit} of your requests are in flight already, which is the limit", retry_after_s)


class DeadlineExceeded(CapacityError):
    """The work was not done within `deadline_s`."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        super().__init__(f"not done within {deadline_s:g} seconds")


class ModelUnavailable(CapacityError):
    """Model `name` is served here but not available now; `reason` may be shown to clients."""

    def __init__(self, name: str, reason: str, retry_after_s: float = 30.0) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"model {name!r} is not available now: {reason}", retry_after_s)


class DecoderUnavailable(CapacityError):
    """No process could be started to decode audio."""

    def __init__(self, reason: str, retry_after_s: float = 5.0) -> None:
        self.reason = reason
        super().__init__(f"no process can be started to decode the audio: {reason}", retry_after_s)


class JobsFull(CapacityError):
    """The maximum of stored jobs, or of their bytes, is reached; `limit` says which."""

    def __init__(self, limit: str, retry_after_s: float = 60.0) -> None:
        self.limit = limit
        super().__init__(f"no room for another job: {limit}; delete jobs that are done", retry_after_s)


class StorageFull(CapacityError):
    """The disk is full; nothing of the request was stored."""

    def __init__(self, retry_after_s: float = 60.0) -> None:
        super().__init__("the server's disk is full; nothing of this request was stored", retry_after_s)


# --- BuildError -------------------------------------------------------------------------------


class BuildError(NeuronWhisperError):
    """Compiling cannot go on."""


class ProfileError(BuildError):
    """A compile profile is wrong; the message names the key, the value and what is allowed."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}")


class CheckpointError(BuildError):
    """A checkpoint is wrong: `file`, `tensor` (empty when it is about the file), expected and found."""

    def __init__(self, file: Path | str, tensor: str, *, expected: object, found: object) -> None:
        self.file, self.tensor, self.expected, self.found = Path(file), tensor, expected, found
        what = f"{file}: tensor {tensor}" if tensor else str(file)
        super().__init__(f"{what}: expected {expected}, found {found}")


class ScalesError(BuildError):
    """A file of an 8-bit encoder's scales is wrong: its path, the field and what is wrong with it."""

    def __init__(self, path: Path, field: str, reason: str, advice: str = "") -> None:
        self.path, self.field, self.reason = path, field, reason
        advice = advice or "remove the file, or make it anew with neuron-whisper calibrate"
        super().__init__(f"{path}: {field}: {reason}; {advice}")


class FetchFailed(BuildError):
    """A model could not be downloaded; no incomplete file is left."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"cannot fetch {name}: {reason}")


class LoweringFailed(BuildError):
    """Graph `graph` could not be lowered for the target."""

    def __init__(self, graph: str, reason: str) -> None:
        self.graph, self.reason = graph, reason
        super().__init__(f"lowering {graph} failed: {reason}")


class CompilerKilled(LoweringFailed):
    """The compiler was killed during `graph`, probably for lack of memory; `available_bytes` was free at its start.

    `jobs` graphs were compiled at once, 0: all.
    """

    def __init__(self, graph: str, available_bytes: int | None, last_output: str = "", *, jobs: int = 0) -> None:
        self.available_bytes, self.jobs = available_bytes, jobs
        memory = f" ({available_bytes / 1e9:.1f} GB was available when it began)" if available_bytes is not None else ""
        advice = (
            "It was compiled alone: add swap, make a rank's graph smaller (a higher --tp, a smaller --encode-batch)"
            if jobs == 1
            else "Compile fewer graphs at once (--jobs 1)"
        )
        reason = (
            f"the compiler was killed, as the system does when memory runs out{memory}. {advice}, or compile on a host "
            f"with more memory: {COMPILE_ELSEWHERE}"
        )
        super().__init__(graph, f"{reason}\n{last_output}" if last_output else reason)


class HostMemoryTooSmall(BuildError):
    """Compiling is estimated to need `needed_bytes` of host memory, and `available_bytes` are free.

    Raised with --strict-memory only.
    """

    def __init__(self, needed_bytes: int, available_bytes: int, *, jobs: int, largest: tuple[str, int]) -> None:
        self.needed_bytes, self.available_bytes, self.jobs, self.largest = needed_bytes, available_bytes, jobs, largest
        graph, graph_bytes = largest
        at_once = "one graph at a time" if jobs == 1 else f"{jobs} graphs at once"
        super().__init__(
            f"compiling {at_once} takes about {needed_bytes / 1e9:.1f} GB of host memory, {graph_bytes / 1e9:.1f} GB "
            f"of it for {graph} alone (an estimate), and {available_bytes / 1e9:.1f} GB is available. Compile on a "
            f"host with more: {COMPILE_ELSEWHERE}. Without --strict-memory it is tried"
        )


# --- ArtifactError ----------------------------------------------------------------------------


class ArtifactError(NeuronWhisperError):
    """A stored artifact cannot be used."""


class ArtifactNotFound(ArtifactError):
    """No artifact in the cache matches `reference`."""

    def __init__(self, reference: str, known: Iterable[str] = ()) -> None:
        self.reference, self.known = reference, tuple(known)
        names = f"; stored: {', '.join(self.known)}" if self.known else "; none is stored"
        super().__init__(f"no artifact {reference!r}{names}")


class ArtifactCorrupt(ArtifactError):
    """The file at `path` differs from the manifest. `advice` is what to do about it."""

    def __init__(
        self, path: Path | str, *, expected: object, found: object, advice: str = "compile or import it again"
    ) -> None:
        self.path, self.expected, self.found = Path(path), expected, found
        super().__init__(f"{path}: expected {expected}, found {found}; {advice}")


class ArtifactIncompatible(ArtifactError):
    """The artifact was made by another toolchain; `differences` maps a fact to (stored, here)."""

    def __init__(self, name: str, differences: Mapping[str, tuple[object, object]]) -> None:
        self.name, self.differences = name, dict(differences)
        lines = "; ".join(f"{fact}: stored {a!r}, here {b!r}" for fact, (a, b) in self.differences.items())
        super().__init__(f"artifact {name} does not fit this installation: {lines}")


class ArtifactOutdated(ArtifactError):
    """The artifact was compiled from the graphs of another version, or by another toolchain; `reason` says which."""

    def __init__(
        self, name: str, reason: str, advice: str = "compile the model again, `artifacts prune` frees it"
    ) -> None:
        self.name, self.reason, self.advice = name, reason, advice
        super().__init__(f"artifact {name}: outdated, {reason}; {advice}")


class ArtifactUnsafe(ArtifactError):
    """Other users can write `path`. Artifacts are code, so it is not used."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = Path(path), reason
        super().__init__(f"{path}: {reason}; artifacts are code, so this cache is not used")


class TransferFailed(ArtifactError):
    """Artifacts could not be pushed to, or pulled from, `repository`; `reason` says why, and what to do."""

    def __init__(self, repository: str, reason: str) -> None:
        self.repository, self.reason = repository, reason
        super().__init__(f"{repository}: {reason}")


class GoldenTokenMismatch(ArtifactError):
    """The loaded program differs from the reference on the golden window; `mismatches` say where.

    `graphs` are those that explain it, such as "decode 8"; empty: all, as with other weights.
    """

    def __init__(self, mismatches: Iterable[str], graphs: Iterable[str] = ()) -> None:
        self.mismatches, self.graphs = tuple(mismatches), tuple(graphs)
        shown = self.mismatches[:MAX_SHOWN_MISMATCHES]
        more = len(self.mismatches) - len(shown)
        found = "; ".join((*shown, f"and {more} more") if more else shown)
        where = ", ".join(self.graphs) or "every graph"
        advice = "compile it again, and if that changes nothing, with other compiler arguments or on another device"
        super().__init__(
            f"golden-token check failed in {where}: the program differs from the reference: {found}; {advice}"
        )


# --- the rest ---------------------------------------------------------------------------------


class TargetUnavailable(NeuronWhisperError):
    """Target `target` cannot run here; `install` is the command that would change it."""

    def __init__(self, target: str, reason: str, install: str = "", available: Iterable[str] = ()) -> None:
        self.target, self.reason, self.install, self.available = target, reason, install, tuple(available)
        advice = f"\ninstall it with: {install}" if install else ""
        others = f"\ntargets that work here: {', '.join(self.available)}" if self.available else ""
        super().__init__(f"target {target!r} is not available here: {reason}{advice}{others}")


class DecodingFailed(NeuronWhisperError):
    """One window could not be decoded for a `reason` that lies in its own data or in the code; other windows can."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"a window of this audio could not be decoded: {reason}")


class DeviceError(NeuronWhisperError):
    """The device failed. The session's state is unknown, and it is not used again."""

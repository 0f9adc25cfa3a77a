"""PartsDecoder: the recordings of one file, decoded one behind the other within the limits of one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from neuron_whisper.audio.clip import AudioBlock
from neuron_whisper.audio.container.parts import FileParts, Part, open_part
from neuron_whisper.audio.container.tracks import TrackChoice
from neuron_whisper.audio.decode_av import AudioDecoder
from neuron_whisper.audio.limits import MAX_RATE_CHANGES, AudioLimits, DecodedAmount
from neuron_whisper.errors import AudioForged, AudioUnreadable


@dataclass(slots=True)
class PartsDecoder:
    """Decodes a file of several recordings. Iterate `decode_blocks` to the end, then read `warnings`."""

    file: BinaryIO
    name: str
    limits: AudioLimits
    found: FileParts
    track: TrackChoice = field(default_factory=TrackChoice)
    _damage: list[str] = field(default_factory=list)
    _refused: int = 0
    _rates: list[int] = field(default_factory=list)

    def decode_blocks(self) -> Iterator[AudioBlock]:
        """Decode all parts; one that cannot be read becomes a warning, unless it is the only one.

        Raises AudioUnreadable, AudioTooLong, AudioTooLarge.
        """
        amount = DecodedAmount(self.name, self.limits)
        refused: AudioUnreadable | None = None
        for part in self.found.parts:
            try:
                yield from self._decode_part(part, amount)
            except AudioUnreadable as error:
                if isinstance(error, AudioForged) or len(self._rates) > MAX_RATE_CHANGES:
                    raise
                refused = refused or error
                self._refused += 1
                what = f"the {part.name} of {part.end - part.start:,} bytes at byte {part.start:,}"
                self._note(f"{what} was left out: {error.reason}")
        if refused is not None and not self._rates:
            raise refused

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the parts are, and each kind of damage once."""
        warnings = (*self._describe_parts(), *self.found.notes, *self._damage)
        if len(self._rates) < 2:
            return warnings
        return (*warnings, f"the sample rate changes within the audio: {', '.join(map(str, self._rates))} Hz")

    def _describe_parts(self) -> tuple[str, ...]:
        """What a file of several recordings holds; chained Ogg is legal, and told all the same."""
        parts = self.found.parts
        kinds = list(dict.fromkeys(part.name for part in parts))
        if self.found.is_whole and len(parts) < 2:
            return ()
        number = f"{len(parts):,}" if self.found.is_whole else f"over {len(parts):,}"
        named = f" ({', '.join(kinds)})" if len(kinds) > 1 else ""
        decoded = f"{self._refused:,} could not be decoded" if self._refused else "all were decoded"
        if not self.found.is_whole:
            decoded = "only the first were decoded"
        return (f"the file holds {number} recordings{named}, one behind the other; {decoded}",)

    def _decode_part(self, part: Part, amount: DecodedAmount) -> Iterator[AudioBlock]:
        decoder = self._create_decoder(part, amount)
        for block in decoder.decode_blocks():
            if not self._rates or block.rate != self._rates[-1]:
                self._rates.append(block.rate)
                if len(self._rates) > MAX_RATE_CHANGES:
                    raise AudioUnreadable(self.name, f"the sample rate changes over {MAX_RATE_CHANGES} times")
            yield block
        if isinstance(decoder, AudioDecoder):
            for message in decoder.damage:
                self._note(message)

    def _create_decoder(self, part: Part, amount: DecodedAmount) -> AudioDecoder:
        file = open_part(self.file, part)
        decoder = AudioDecoder(file, self.name, self.limits, track=self.track, amount=amount)
        if part.samples_at is None:
            return decoder
        demuxer, options = decoder.read_sample_format()
        if demuxer is None:  # of a WAV with compressed samples
            return AudioDecoder(file, self.name, self.limits, demuxer_options=options, amount=amount)
        samples = open_part(self.file, Part(part.samples_at, part.end))
        return AudioDecoder(samples, self.name, self.limits, demuxer=demuxer, demuxer_options=options, amount=amount)

    def _note(self, message: str) -> None:
        if message not in self._damage:
            self._damage.append(message)

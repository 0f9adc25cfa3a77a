// A WAV of a tone, for tests that need a file that is read and no words.

/** @param {number} seconds @returns {Buffer} 16 kHz, mono */
export function makeWav(seconds) {
  const samples = Math.round(16_000 * seconds);
  const wav = Buffer.alloc(44 + 2 * samples);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(36 + 2 * samples, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(16_000, 24);
  wav.writeUInt32LE(32_000, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(2 * samples, 40);
  for (let at = 0; at < samples; at += 1) wav.writeInt16LE(Math.round(3000 * Math.sin(at / 6)), 44 + 2 * at);
  return wav;
}

// 16-bit mono audio as a WAV file.

const HEADER_BYTES = 44;

/**
 * The header of a file with this many bytes of samples.
 * @param {number} dataBytes
 * @param {number} rate Hz
 */
export function buildWavHeader(dataBytes, rate) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  const writeText = (/** @type {number} */ at, /** @type {string} */ text) => {
    for (let index = 0; index < text.length; index += 1) view.setUint8(at + index, text.charCodeAt(index));
  };
  writeText(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + dataBytes, true);
  writeText(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits a sample
  writeText(36, "data");
  view.setUint32(40, dataBytes, true);
  return view.buffer;
}

// Bytes, text and native strings (PEP 3333, "Unicode Issues"). QuickJS has no TextEncoder.

/** Text without lone surrogates, which become U+FFFD: no text that crosses the boundary has them. */
export const wellFormed = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

/** Text as UTF-8. */
export function encode(text) {
  if (globalThis.TextEncoder) return new TextEncoder().encode(text);
  // What the URL standard calls percent-encoding is UTF-8.
  return bytes(encodeURIComponent(wellFormed(text)).replace(/%(..)/g, (_, digits) => String.fromCharCode(parseInt(digits, 16))));
}

/** UTF-8 as text; what is none becomes U+FFFD. */
export function decode(data) {
  if (globalThis.TextDecoder) return new TextDecoder().decode(data);
  let text = "";
  for (let at = 0; at < data.length; ) {
    // Most text is ASCII, and is taken as it comes.
    let end = at;
    while (end < data.length && data[end] < 0x80) end++;
    if (end > at) {
      text += native(data.subarray(at, end));
      at = end;
      continue;
    }
    const first = data[at];
    const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    let escaped = "";
    for (const byte of data.subarray(at, at + length)) escaped += "%" + byte.toString(16).padStart(2, "0");
    try {
      if (length === 0) throw new URIError();
      text += decodeURIComponent(escaped);
      at += length;
    } catch {
      text += "\ufffd";
      at += 1;
    }
  }
  return text;
}

/** A native string's bytes. */
export function bytes(native) {
  const data = new Uint8Array(native.length);
  for (let at = 0; at < native.length; at++) data[at] = native.charCodeAt(at);
  return data;
}

/** Bytes as a native string. */
export function native(data) {
  let text = "";
  for (let at = 0; at < data.length; at += 4096) text += String.fromCharCode(...data.subarray(at, at + 4096));
  return text;
}

/** Joins chunks. */
export function concat(chunks) {
  const whole = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

// The iterable that an application returned, as the host asks it (PEP 3333, "Specification Details").

import { encode } from "./bytes.js";
import { settled, thrown } from "wasgi/engine";

/** A chunk's bytes. */
export function asBytes(chunk) {
  if (typeof chunk === "string") return encode(chunk);
  if (chunk instanceof Uint8Array) return chunk;
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError(`a chunk is a Uint8Array or a string, not ${chunk === null ? "null" : typeof chunk}`);
}

export class Body {
  #iterable;
  #iterator;

  constructor(iterable) {
    // A string iterates too, character by character: never what was meant.
    const iterate = typeof iterable === "object" && iterable !== null && (iterable[Symbol.iterator] ?? iterable[Symbol.asyncIterator]);
    if (!iterate || iterable instanceof Uint8Array) throw new TypeError("an application returns an iterable of chunks");
    this.#iterable = iterable;
    this.#iterator = iterate.call(iterable);
  }

  next() {
    const chunk = (step) => (step.done ? undefined : asBytes(step.value));
    try {
      return settled(this.#iterator.next(), chunk);
    } catch (error) {
      throw thrown(error);
    }
  }

  close() {
    const nothing = () => undefined;
    try {
      return settled(this.#iterable.close ? this.#iterable.close() : this.#iterator.return?.(), nothing);
    } catch (error) {
      throw thrown(error);
    }
  }
}

// The iterable that an application returned, as the host asks it (PEP 3333, "Specification Details").

import { encode } from "./bytes.js";
import { turn } from "./exchange.js";
import { drain, settled, thrown } from "wasgi/engine";

// What the host takes at once: a chunk that is longer is handed over in pieces.
const most = 1 << 20;

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
  #left = null;

  constructor(iterable) {
    // A string iterates too, character by character: never what was meant.
    const iterate = typeof iterable === "object" && iterable !== null && (iterable[Symbol.iterator] ?? iterable[Symbol.asyncIterator]);
    if (!iterate || iterable instanceof Uint8Array) throw new TypeError("an application returns an iterable of chunks");
    this.#iterable = iterable;
    this.#iterator = iterate.call(iterable);
  }

  #piece() {
    const piece = this.#left.subarray(0, most);
    this.#left = this.#left.length > most ? this.#left.subarray(most) : null;
    return piece;
  }

  next() {
    const chunk = (step) => {
      if (step.done) return undefined;
      this.#left = asBytes(step.value);
      return this.#piece();
    };
    try {
      return this.#left ? this.#piece() : settled(this.#iterator.next(), chunk);
    } catch (error) {
      throw thrown(error);
    } finally {
      drain();
    }
  }

  close() {
    const over = () => void turn();
    try {
      return settled(this.#iterable.close ? this.#iterable.close() : this.#iterator.return?.(), over);
    } catch (error) {
      turn();
      throw thrown(error);
    } finally {
      drain();
    }
  }
}

/** len() of an iterable, where it has one; of one chunk that goes out in pieces the host could not know the length. */
export function count(iterable) {
  if (!Array.isArray(iterable)) return undefined;
  return iterable.length === 1 && asBytes(iterable[0]).length > most ? undefined : iterable.length;
}

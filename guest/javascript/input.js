// wsgi.input (PEP 3333, "Input and Error Streams"): the body of the current request. Nothing is fetched from the client before it is read.

import { read } from "wasgi:gateway/input@0.1.0";

import { concat } from "./bytes.js";
import { alive, now } from "./exchange.js";

const most = 65536;
const reasons = {
  disconnected: "the client disconnected",
  malformed: "the request's body is malformed",
  "too-large": "the request's body is larger than the limit",
  "timed-out": "the request's body did not arrive in time",
};

/** The body cannot be read on; `reason` is one of disconnected, malformed, too-large, timed-out. It is never reported as its end. */
export class InputError extends Error {
  constructor(reason) {
    super(reasons[reason] ?? String(reason));
    this.name = "InputError";
    this.reason = reason;
  }
}

export class Input {
  #piece = new Uint8Array();
  #exchange = now();

  // Makes sure that there is something; false: the end.
  #fill() {
    alive(this.#exchange);
    if (this.#piece.length === 0) {
      try {
        const data = read(most);
        this.#piece = data instanceof Uint8Array ? data : new Uint8Array(data);
      } catch (error) {
        throw new InputError(error.payload ?? error);
      }
    }
    return this.#piece.length > 0;
  }

  #take(length) {
    const taken = this.#piece.subarray(0, length);
    this.#piece = this.#piece.subarray(length);
    return taken;
  }

  /** Reads `size` bytes, fewer only at the end; without, the rest. */
  read(size = -1) {
    const chunks = [];
    for (let left = size < 0 ? Infinity : size; left > 0 && this.#fill(); ) {
      const taken = this.#take(left);
      left -= taken.length;
      chunks.push(taken);
    }
    return chunks.length === 1 ? chunks[0] : concat(chunks);
  }

  /** Reads what has come: at least one byte, none at the end. */
  readSome(size = most) {
    return size > 0 && this.#fill() ? this.#take(size) : new Uint8Array();
  }

  /** Reads up to and with the next line feed, at most `size` bytes. */
  readline(size = -1) {
    const chunks = [];
    for (let left = size < 0 ? Infinity : size, feed = -1; left > 0 && feed < 0 && this.#fill(); ) {
      feed = this.#piece.indexOf(10);
      const taken = this.#take(Math.min(left, feed < 0 ? Infinity : feed + 1));
      left -= taken.length;
      chunks.push(taken);
    }
    return chunks.length === 1 ? chunks[0] : concat(chunks);
  }

  /** All lines that are left; with `hint`, no more once they have so many bytes. */
  readlines(hint = -1) {
    const lines = [];
    let length = 0;
    for (const line of this) {
      lines.push(line);
      length += line.length;
      if (hint > 0 && length >= hint) break;
    }
    return lines;
  }

  *[Symbol.iterator]() {
    for (let line = this.readline(); line.length > 0; line = this.readline()) yield line;
  }
}

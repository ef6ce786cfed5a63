// wsgi.errors (PEP 3333, "Input and Error Streams"): text for the tenant's log.

import { TraceMap, originalPositionFor } from "@jridgewell/trace-mapping";
import { write } from "wasgi:gateway/errors@0.1.0";

import { wellFormed } from "./bytes.js";

export class Errors {
  write(text) {
    write(wellFormed(String(text)));
  }

  writelines(lines) {
    for (const line of lines) this.write(line);
  }

  flush() {}
}

// A stack, with the places in the author's own files. The engines name the one file that the build made of them.
function traceback(stack) {
  const map = new TraceMap(globalThis[Symbol.for("wasgi.map")]);
  return stack.replace(/\/?app\.js:(\d+)(?::(\d+))?/g, (place, line, column = 1) => {
    const { source, line: original } = originalPositionFor(map, { line: Number(line), column: Number(column) - 1 });
    return source ? `${source}:${original}` : place;
  });
}

/** What was thrown, as the host logs it. Anything can be thrown, and some of it has no text. */
export function excInfo(thrown) {
  try {
    if (!(thrown instanceof Error)) return { kind: typeof thrown, message: wellFormed(String(thrown)), traceback: "" };
    const [kind, message, stack] = [thrown.name, thrown.message, thrown.stack ?? ""].map((part) => wellFormed(String(part)));
    return { kind, message, traceback: traceback(stack) };
  } catch {
    return { kind: typeof thrown, message: "what was thrown has no text", traceback: "" };
  }
}

/** Tells the log of an error that nobody waits for. */
export function logUnhandled(error) {
  const { kind, message, traceback } = excInfo(error);
  write(`unhandled ${kind}: ${message}\n${traceback}\n`);
}

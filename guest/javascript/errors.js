// wsgi.errors (PEP 3333, "Input and Error Streams"): text for the tenant's log.

import { TraceMap, originalPositionFor } from "@jridgewell/trace-mapping";
import { write } from "wasgi:gateway/errors@0.1.0";

export class Errors {
  write(text) {
    write(String(text));
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

/** What was thrown, as the host logs it. */
export function excInfo(thrown) {
  if (!(thrown instanceof Error)) return { kind: typeof thrown, message: String(thrown), traceback: "" };
  return { kind: String(thrown.name), message: String(thrown.message), traceback: traceback(String(thrown.stack ?? "")) };
}

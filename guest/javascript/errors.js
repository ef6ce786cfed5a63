// wsgi.errors (PEP 3333, "Input and Error Streams"): text for the tenant's log.

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

/** What was thrown, as the host logs it. */
export function excInfo(thrown) {
  if (!(thrown instanceof Error)) return { kind: typeof thrown, message: String(thrown), traceback: "" };
  return { kind: String(thrown.name), message: String(thrown.message), traceback: String(thrown.stack ?? "") };
}

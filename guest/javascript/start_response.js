// start_response and write() (PEP 3333, "The start_response() Callable").

import { earlyHints as hostEarlyHints, startResponse as hostStartResponse, write as hostWrite } from "wasgi:gateway/response@0.1.0";

import { asBytes } from "./body.js";
import { excInfo } from "./errors.js";

const most = 1 << 20;
const starts = { "already-started": "start_response was called before", "already-sent": "the head is already sent" };
const writes = {
  disconnected: "the client disconnected",
  "too-many-bytes": "the body is longer than its Content-Length",
  "timed-out": "the exchange is out of time",
};

/** A head was refused; `reason` is one of invalid-status, invalid-header, already-started, already-sent. */
export class StartError extends Error {
  constructor({ tag, val }) {
    super(val ?? starts[tag] ?? String(tag));
    this.name = "StartError";
    this.reason = tag;
  }
}

/** A chunk could not be sent; `reason` is one of disconnected, too-many-bytes, timed-out. */
export class WriteError extends Error {
  constructor(reason) {
    super(writes[reason] ?? String(reason));
    this.name = "WriteError";
    this.reason = reason;
  }
}

const fields = (headers) => Array.from(headers, ([name, value]) => [String(name), String(value)]);

/**
 * Checks the head and stores it; nothing is sent yet. With `error` (exc_info), the stored head is replaced whole; when it is sent already,
 * `error` is thrown. Returns `write`.
 */
export function startResponse(status, headers, error) {
  const cause = error === undefined ? undefined : excInfo(error);
  try {
    hostStartResponse(String(status), fields(headers), cause);
  } catch (refused) {
    const reason = refused.payload ?? refused;
    throw cause && reason.tag === "already-sent" ? error : reason.tag ? new StartError(reason) : refused;
  }
  return write;
}

/** write(), for code that cannot return its body. Any length; it goes out in chunks. */
export function write(data) {
  const whole = asBytes(data);
  for (let at = 0; at === 0 || at < whole.length; at += most) {
    try {
      hostWrite(whole.subarray(at, at + most));
    } catch (refused) {
      throw new WriteError(refused.payload ?? refused);
    }
  }
}

/** 103 Early Hints (RFC 8297): advice that the host may keep to itself. */
export function earlyHints(headers) {
  try {
    hostEarlyHints(fields(headers));
  } catch (refused) {
    const reason = refused.payload ?? refused;
    throw reason.tag ? new StartError(reason) : refused;
  }
}

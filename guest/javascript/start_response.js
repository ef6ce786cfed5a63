// start_response and write() (PEP 3333, "The start_response() Callable").

import { earlyHints as hostEarlyHints, startResponse as hostStartResponse, write as hostWrite } from "wasgi:gateway/response@0.1.0";

import { asBytes } from "./body.js";
import { wellFormed } from "./bytes.js";
import { excInfo } from "./errors.js";
import { alive, now } from "./exchange.js";

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

/** Pairs, or an object with a property a field. */
function fields(headers) {
  const pairs = headers[Symbol.iterator] ? [...headers] : Object.entries(headers);
  return pairs.map(([name, value]) => [wellFormed(String(name)), wellFormed(String(value))]);
}

function refused(error) {
  const reason = error.payload ?? error;
  return reason.tag ? new StartError(reason) : error;
}

/**
 * The start_response of the current request. It checks the head and stores it; nothing is sent yet. With `error` (exc_info), the stored head is
 * replaced whole; when it is sent already, `error` is thrown. It returns `write`, for code that cannot return its body: any length, in chunks.
 */
export function starter() {
  const exchange = now();
  const write = (data) => {
    alive(exchange);
    const whole = asBytes(data);
    for (let at = 0; at === 0 || at < whole.length; at += most) {
      try {
        hostWrite(whole.subarray(at, at + most));
      } catch (error) {
        throw new WriteError(error.payload ?? error);
      }
    }
  };
  return (status, headers, error) => {
    alive(exchange);
    const has = error !== undefined && error !== null;
    try {
      hostStartResponse(wellFormed(String(status)), fields(headers), has ? excInfo(error) : undefined);
    } catch (failed) {
      const reason = refused(failed);
      throw has && reason.reason === "already-sent" ? error : reason;
    }
    return write;
  };
}

/** 103 Early Hints (RFC 8297): advice that the host may keep to itself. */
export function earlyHints(headers) {
  try {
    hostEarlyHints(fields(headers));
  } catch (error) {
    throw refused(error);
  }
}

/** What PEP 3333 calls native strings: one character a byte. */
export type Native = string;
export type Headers = Iterable<readonly [string, Native]>;
export type Write = (data: Uint8Array | string) => void;
export type StartResponse = (status: Native, headers: Headers, error?: unknown) => Write;
export type Chunk = Uint8Array | ArrayBuffer | string;
export type Body = (Iterable<Chunk> | AsyncIterable<Chunk>) & { close?(): unknown };
export type Application = (environ: Environ, startResponse: StartResponse) => Body | Promise<Body>;

/** The environ of one request (PEP 3333, "environ Variables"). */
export interface Environ {
  [name: string]: any;
  REQUEST_METHOD: string;
  SCRIPT_NAME: Native;
  PATH_INFO: Native;
  QUERY_STRING: Native;
  "wsgi.input": Input;
  "wsgi.errors": { write(text: string): void; writelines(lines: Iterable<string>): void; flush(): void };
}

/** wsgi.input. */
export interface Input extends Iterable<Uint8Array> {
  read(size?: number): Uint8Array;
  readSome(size?: number): Uint8Array;
  readline(size?: number): Uint8Array;
  readlines(hint?: number): Uint8Array[];
}

export class InputError extends Error {
  reason: "disconnected" | "malformed" | "too-large" | "timed-out";
}
export class StartError extends Error {
  reason: "invalid-status" | "invalid-header" | "already-started" | "already-sent";
}
export class WriteError extends Error {
  reason: "disconnected" | "too-many-bytes" | "timed-out";
}

export function earlyHints(headers: Headers): void;
export function requestUri(environ: Environ, includeQuery?: boolean): string;
export function applicationUri(environ: Environ): string;
export function guessScheme(environ: Environ): "http" | "https";
export function shiftPathInfo(environ: Environ): string | null;
export function encode(text: string): Uint8Array;
export function decode(data: Uint8Array): string;
export function bytes(native: Native): Uint8Array;
export function native(data: Uint8Array): Native;

// The environ of one request (PEP 3333, "environ Variables"), and what wsgiref.util makes of it.

import { Errors } from "./errors.js";
import { Input } from "./input.js";

const flags = ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated"];

/** An object with the variables, and with wsgi.input, wsgi.errors, wsgi.version and the flags in their types. */
export function environOf(pairs) {
  const environ = Object.create(null);
  for (const [name, value] of pairs) environ[name] = flags.includes(name) ? value === "1" : value;
  environ["wsgi.version"] = [1, 0];
  environ["wsgi.input"] = new Input();
  environ["wsgi.errors"] = new Errors();
  return environ;
}

// As Python's urllib.parse.quote: a native string's characters are bytes.
const quote = (text, safe) =>
  Array.from(text, (char) =>
    /[A-Za-z0-9_.~-]/.test(char) || safe.includes(char) ? char : "%" + char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"),
  ).join("");

/** "http" or "https". */
export const guessScheme = (environ) => (["yes", "on", "1"].includes(environ.HTTPS) ? "https" : "http");

/** The application's own address (PEP 3333, "URL Reconstruction"). */
export function applicationUri(environ) {
  const scheme = environ["wsgi.url_scheme"];
  const usual = scheme === "https" ? "443" : "80";
  const host = environ.HTTP_HOST || environ.SERVER_NAME + (environ.SERVER_PORT === usual ? "" : ":" + environ.SERVER_PORT);
  return `${scheme}://${host}${quote(environ.SCRIPT_NAME || "/", "/")}`;
}

/** The address of the request. */
export function requestUri(environ, includeQuery = true) {
  const path = quote(environ.PATH_INFO ?? "", "/;=,");
  const query = includeQuery && environ.QUERY_STRING ? "?" + environ.QUERY_STRING : "";
  return applicationUri(environ) + (environ.SCRIPT_NAME ? path : path.slice(1)) + query;
}

/** The address as the client wrote it: its path is neither decoded nor encoded again. Not a native string any more. */
export function guessUri(environ) {
  const target = environ.REQUEST_URI ?? "";
  const ascii = Array.from(target, (char) => (char < "\x80" ? char : quote(char, ""))).join("");
  if (/^https?:/i.test(ascii)) return ascii;
  const { host, protocol } = new URL(applicationUri(environ));
  return `${protocol}//${host}${ascii.startsWith("/") ? ascii : "/"}`;
}

/** Moves the first segment of PATH_INFO to SCRIPT_NAME; that segment, or null when there is none. */
export function shiftPathInfo(environ) {
  const parts = (environ.PATH_INFO ?? "").split("/");
  if (parts.length < 2) return null;
  // Empty segments and dots count for nothing, but for the last.
  const [first, name, ...rest] = parts.filter((part, at) => at === 0 || at === parts.length - 1 || !["", "."].includes(part));
  const mount = [];
  for (const part of [...(environ.SCRIPT_NAME ?? "").split("/"), name]) {
    if (part === "..") mount.pop();
    else if (part !== "" && part !== ".") mount.push(part);
  }
  environ.SCRIPT_NAME = mount.map((part) => "/" + part).join("") + (name === "" ? "/" : "");
  environ.PATH_INFO = [first, ...rest].join("/");
  return name === "." ? null : name;
}

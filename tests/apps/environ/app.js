// The CGI variables, as bytes, and the address that they make.
import { applicationUri, bytes, requestUri } from "wasgi";

export function application(environ, startResponse) {
  const names = Object.keys(environ).filter((name) => !name.includes("."));
  const lines = names.sort().map((name) => `${name}=${environ[name]}\n`);
  lines.push(`application_uri=${applicationUri(environ)}\nrequest_uri=${requestUri(environ)}\n`);
  startResponse("200 OK", []);
  return [bytes(lines.join(""))];
}

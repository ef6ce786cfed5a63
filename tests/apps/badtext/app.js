// Text that a client chose, in the log and in an error. A string in JavaScript can have halves of characters.
import { bytes, decode } from "wasgi";

export function application(environ) {
  const path = decode(bytes(environ.PATH_INFO)) + JSON.parse('"\\ud800"');
  environ["wsgi.errors"].write(`asked for ${path}\n`);
  throw new Error(`no page: ${path}`);
}

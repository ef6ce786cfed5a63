// Text goes out as UTF-8; the path is bytes, in the body and as a native string.
import { bytes } from "wasgi";

export function application(environ, startResponse) {
  startResponse("200 OK", [["X-Path", environ.PATH_INFO]]);
  return [bytes(environ.PATH_INFO), " \u017elu\u0165 \u{1f40d}"];
}

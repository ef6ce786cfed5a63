// Takes as many MiB as the path says.
import { shiftPathInfo } from "wasgi";

export function application(environ, startResponse) {
  const taken = new Uint8Array(Number(shiftPathInfo(environ)) << 20).fill(1);
  startResponse("200 OK", []);
  return [`${taken.length >> 20} MiB`];
}

// Empty chunks send nothing.
export function application(environ, startResponse) {
  startResponse("200 OK", []);
  return ["", new Uint8Array(), "hello", "", "!"];
}

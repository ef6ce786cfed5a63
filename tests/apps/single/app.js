// One chunk: its length becomes the Content-Length.
export function application(environ, startResponse) {
  startResponse("200 OK", []);
  return ["hello"];
}

// More than its Content-Length.
export function application(environ, startResponse) {
  startResponse("200 OK", [["Content-Length", "8"]]);
  return ["hello", " world"];
}

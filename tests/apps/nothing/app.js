// A status that has no body.
export function application(environ, startResponse) {
  startResponse("204 No Content", [["X-A", "1"]]);
  return ["must not be sent"];
}

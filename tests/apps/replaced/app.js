// exc_info before the head is sent replaces it whole.
export function application(environ, startResponse) {
  startResponse("200 OK", [["X-Old", "1"]]);
  startResponse("503 Try Later", [["X-New", "2"]], new RangeError("too early"));
  return ["replaced"];
}

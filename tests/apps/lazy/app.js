// start_response is called when the first chunk is asked for.
export function* application(environ, startResponse) {
  startResponse("201 Created", [["X-Lazy", "1"]]);
  yield "lazy";
}

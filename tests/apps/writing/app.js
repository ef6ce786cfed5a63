// What is written comes before what is yielded.
export function application(environ, startResponse) {
  const write = startResponse("200 OK", []);
  write("");
  write("written ");
  write("and ");
  return ["yielded"];
}

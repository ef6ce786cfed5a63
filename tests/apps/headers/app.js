// Repetitions, Latin-1, and a reason of its own.
export function application(environ, startResponse) {
  startResponse("299 All Is W\xfcll", [["Set-Cookie", "a=1"], ["X-A", "caf\xe9 \xff"], ["Set-Cookie", "b=2"]]);
  return [];
}

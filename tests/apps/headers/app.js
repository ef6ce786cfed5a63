// Repetitions, Latin-1, and a reason of its own. Fields that are put together are an array, as all else that has an order.
export function application(environ, startResponse) {
  const fields = [["Set-Cookie", "a=1"], ["X-A", "caf\xe9 \xff"], ["x-set", "two"], ["Set-Cookie", "b=2"]];
  fields.push(["Content-Disposition", 'attachment; filename="a \\"b\\".txt"']);
  fields.push(["X-Seen", fields.find(([name]) => name === "Set-Cookie")[1] + " " + fields.find(([name]) => name === "x-set")[1]]);
  startResponse("299 All Is W\xfcll", fields);
  return [];
}

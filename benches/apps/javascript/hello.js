// The row in JavaScript: the same function under wasgi and, over wasi:http, under `wasmtime serve`.
export async function hello() {
  return new Response("Hello, world!", { headers: { "content-type": "text/plain" } });
}

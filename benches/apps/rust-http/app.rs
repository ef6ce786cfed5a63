//! The rows in Rust over wasi:http, for `wasmtime serve`.

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wasip2::http::proxy::export!(Bench);

struct Bench;

impl wasip2::exports::http::incoming_handler::Guest for Bench {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        let body = match request.path_with_query().as_deref() {
            Some("/page") => vec![b'x'; 10_240],
            Some("/echo") => {
                let mut body = Vec::new();
                let incoming = request.consume().expect("a body, once");
                incoming.stream().expect("its stream, once").read_to_end(&mut body).expect("the body");
                body
            }
            Some("/wait") => {
                thread::sleep(Duration::from_millis(10));
                b"waited".to_vec()
            }
            _ => b"Hello, world!".to_vec(),
        };
        let length = body.len().to_string();
        let fields = [("content-type".to_owned(), b"text/plain".to_vec()), ("content-length".to_owned(), length.into_bytes())];
        let response = OutgoingResponse::new(Fields::from_list(&fields).expect("fields that may be set"));
        let outgoing = response.body().expect("a body, once");
        ResponseOutparam::set(response_out, Ok(response));
        let mut stream = outgoing.write().expect("its stream, once");
        stream.write_all(&body).expect("the body");
        stream.flush().expect("the body");
        drop(stream);
        OutgoingBody::finish(outgoing, None).expect("its end");
    }
}

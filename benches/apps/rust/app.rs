//! The rows in Rust.

use std::{io::Read, thread, time::Duration};

use wasgi_guest::{Body, Environ, StartResponse};

wasgi_guest::export!(app);

fn app(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let body = match environ.path_info() {
        "/page" => vec![b'x'; 10_240],
        "/echo" => {
            let mut body = Vec::new();
            environ.input().read_to_end(&mut body)?;
            body
        }
        "/wait" => {
            thread::sleep(Duration::from_millis(10));
            b"waited".to_vec()
        }
        _ => b"Hello, world!".to_vec(),
    };
    let length = body.len().to_string();
    start_response("200 OK", &[("Content-Type", "text/plain"), ("Content-Length", &length)])?;
    Ok(Body::from(body))
}

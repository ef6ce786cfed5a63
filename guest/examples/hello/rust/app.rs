//! The smallest application: one page, one chunk.

use wasgi_guest::{Body, Environ, StartResponse};

wasgi_guest::export!(app);

fn app(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[("Content-Type", "text/plain; charset=utf-8")])?;
    Ok(Body::from(format!("Hello from {}\n", environ.path())))
}

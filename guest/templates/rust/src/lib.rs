use wasgi_guest::{Body, Environ, StartResponse};

wasgi_guest::export!(application);

fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[("Content-Type", "text/plain; charset=utf-8")])?;
    Ok(Body::from(format!("Hello from APPNAME at {}\n", environ.path())))
}

//! The CGI variables, as bytes, and the address that they make.

use wasgi_guest::{Body, Environ, StartResponse, bytes};

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut lines: Vec<_> =
        environ.iter().filter(|(name, _)| !name.contains('.')).map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.sort();
    lines.push(format!("application_uri={}\nrequest_uri={}\n", environ.application_uri(), environ.request_uri()));
    start_response("200 OK", &[])?;
    Ok(Body::from(bytes(&lines.concat())))
}

//! Keeps the input of one request, and reads from it in the next.

use std::{io::Read, sync::Mutex};

use wasgi_guest::{Body, Environ, Input, StartResponse};

static KEPT: Mutex<Option<Input>> = Mutex::new(None);

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut kept = KEPT.lock().map_err(|_| "the lock is poisoned")?;
    let stolen = kept.as_mut().map(|input| match input.read_to_end(&mut Vec::new()) {
        Ok(length) => format!("read {length}"),
        Err(error) => error.to_string(),
    });
    let mut body = String::new();
    environ.input().read_to_string(&mut body)?;
    *kept = Some(environ.input());
    start_response("200 OK", &[])?;
    Ok(Body::from(format!("{}, {body}", stolen.unwrap_or_else(|| "nothing kept".to_owned()))))
}

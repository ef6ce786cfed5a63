//! Some bytes, a line, and what is left, line by line.

use std::io::{BufRead, Read};

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let (mut input, mut bytes, mut line) = (environ.input(), [0; 5], String::new());
    input.read_exact(&mut bytes)?;
    input.read_line(&mut line)?;
    let mut told = format!("read {}\nreadline {line}", String::from_utf8_lossy(&bytes));
    for line in input.lines() {
        told += &format!("line {}\n", line?);
    }
    start_response("200 OK", &[])?;
    Ok(Body::from(told))
}

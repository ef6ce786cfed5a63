//! Ends where it has no business to: a panic, which is a trap.

use wasgi_guest::{Environ, StartResponse};

pub fn application(environ: Environ, _: StartResponse) -> wasgi_guest::Result {
    deep_trouble(environ.method().len())
}

#[inline(never)]
fn deep_trouble(number: usize) -> wasgi_guest::Result {
    panic!("deep trouble {number}")
}

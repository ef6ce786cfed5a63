//! A guest that computes for ever before it can be called.

use std::hint::black_box;

wasgi_guest::export!(app);

fn app(_: wasgi_guest::Environ, start_response: wasgi_guest::StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    Ok(wasgi_guest::Body::from("never reached\n"))
}

/// What a component calls when it is instantiated.
#[unsafe(no_mangle)]
pub extern "C" fn _initialize() {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

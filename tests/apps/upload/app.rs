//! A large body, of which nothing is kept: its length, and the sum of every 64th byte.

use std::io::Read;

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let (mut input, mut piece, mut length, mut sum) = (environ.input(), vec![0; 65_536], 0_usize, 0_u32);
    loop {
        let read = input.read(&mut piece)?;
        if read == 0 {
            break;
        }
        sum += piece[..read].iter().skip(length.wrapping_neg() % 64).step_by(64).map(|byte| u32::from(*byte)).sum::<u32>();
        length += read;
    }
    start_response("200 OK", &[])?;
    Ok(Body::from(format!("{length} {sum}")))
}

//! The whole host, as its users meet it: the program `wasgi`, real components, raw bytes over a socket.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test that fails says where; nothing of a test is public")]

mod bad_input;
mod embedded;
mod flask;
mod hostile;
mod isolation;
mod pep3333;
mod python;
mod requests;
mod support;

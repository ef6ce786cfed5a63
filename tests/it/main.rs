//! The whole host, as its users meet it: the program `wasgi`, real components, raw bytes over a socket.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test that fails says where; nothing of a test is public")]

mod bad_input;
mod browser;
mod budgets;
mod cgi;
mod conformance;
mod data;
mod dev;
mod django;
mod embedded;
mod flask;
mod frameworks;
mod framing;
mod grid;
mod hostile;
mod isolation;
mod kept;
mod languages;
mod missing;
mod pep3333;
mod programs;
mod python;
mod release;
mod requests;
mod rewind;
mod seen;
mod static_files;
mod strict;
mod support;
mod tenants;

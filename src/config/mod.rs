//! The configuration of a host, `host.toml`, and of an application, `wasgi.toml`: read whole, and every mistake in it told at once, with its
//! place, what was found and what is allowed.
//!
//! [`keys`] says what may stand there, once: for the reader, for the message about an unknown key, and for the schema.

mod app;
pub mod environment;
mod host;
mod keys;
mod mistakes;
pub mod project;
mod tree;

pub use self::{
    host::{Admin, HostConfig, Setting, Watch},
    keys::schema,
    mistakes::Mistakes,
};

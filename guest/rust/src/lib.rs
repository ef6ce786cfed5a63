//! WSGI applications in Rust.
//!
//! ```ignore
//! use wasgi_guest::{Body, Environ, StartResponse};
//!
//! wasgi_guest::export!(app);
//!
//! fn app(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
//!     start_response("200 OK", &[("Content-Type", "text/plain")])?;
//!     Ok(Body::from(format!("Hello from {}\n", environ.path())))
//! }
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2`, crate type `cdylib`, and serve the file with `wasgi serve`.
//! The five nouns of PEP 3333 are five files: [`Environ`], [`Input`], [`Errors`], [`StartResponse`] and [`Body`].

mod body;
mod environ;
mod errors;
mod exchange;
mod headers;
mod input;
mod start_response;

pub use self::{
    body::Body,
    environ::{Environ, bytes, native},
    errors::Errors,
    headers::Headers,
    input::Input,
    start_response::{StartError, StartResponse, WriteError, early_hints, restart_response, write},
};

/// What an application returns: its body, or what went wrong, which the host logs and answers with 500.
pub type Result = std::result::Result<Body, Box<dyn std::error::Error>>;

#[doc(hidden)]
#[allow(missing_docs, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "wasgi:gateway/app-rewindable",
        pub_export_macro: true,
        default_bindings_module: "wasgi_guest::bindings",
    });
}

/// Exports `fn app(environ: Environ, start_response: StartResponse) -> Result` as the component's application.
#[macro_export]
macro_rules! export {
    ($app:path) => {
        const _: () = {
            struct Application;

            impl $crate::__private::Guest for Application {
                type Body = $crate::__private::Resource;

                fn call(environ: Vec<(String, String)>) -> $crate::__private::Called {
                    $crate::__private::call($app, environ)
                }
            }

            impl $crate::__private::Rewind for Application {
                fn settle() {
                    $crate::__private::settle();
                }
            }

    $crate::bindings::export!(Application with_types_in $crate::bindings);
        };
    };
}

/// What [`export!`] expands to.
#[doc(hidden)]
pub mod __private {
    use crate::{
        Environ, StartResponse,
        bindings::{exports::wasgi::gateway::application as exported, wasgi::gateway::types::ExcInfo},
        start_response::start_response,
    };
    pub use crate::{
        bindings::exports::wasgi::gateway::{application::Guest, rewind::Guest as Rewind},
        body::Resource,
    };

    pub type Called = Result<exported::Iterable, ExcInfo>;

    // libc, which std stands on. Its own handles of stdout buffer: a write of nothing ends there.
    unsafe extern "C" {
        fn read(descriptor: i32, buffer: *mut u8, length: usize) -> isize;
        fn write(descriptor: i32, buffer: *const u8, length: usize) -> isize;
    }

    /// Memory that a request may take without growing the instance's, which would be the end of it.
    const ROOM: usize = 1 << 20;

    /// Opens what libc opens when it is first used, and keeps: the folders that the host grants, and the standard streams.
    pub fn settle() {
        // It is taken, not touched, and given back; less than that may be all there is.
        let mut room = Vec::<u8>::new();
        drop(room.try_reserve_exact(ROOM));
        drop(std::hint::black_box(room));
        // Whether there is such a folder does not matter, nor whether there are such streams.
        drop(std::fs::metadata("/"));
        let mut byte = 0;
        // SAFETY: `read` and `write` (POSIX) take a pointer to as many bytes as they are told; these are none, and `byte` is one.
        unsafe {
            read(0, &raw mut byte, 0);
            write(1, &raw const byte, 0);
            write(2, &raw const byte, 0);
        }
    }

    /// One request.
    pub fn call(app: fn(Environ, StartResponse) -> crate::Result, environ: Vec<(String, String)>) -> Called {
        crate::exchange::turn();
        match app(Environ::new(environ), start_response) {
            Ok(body) => Ok(body.into_iterable()),
            Err(error) => Err(crate::errors::exc_info(&*error)),
        }
    }
}

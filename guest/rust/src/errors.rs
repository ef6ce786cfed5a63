use std::{error::Error, fmt::Write as _, io};

use crate::bindings::wasgi::gateway::{errors, types::ExcInfo};

/// `wsgi.errors` (PEP 3333, "Input and Error Streams"): text for the tenant's log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors;

impl io::Write for Errors {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        errors::write(&String::from_utf8_lossy(data));
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error and its causes, for the tenant's log.
pub(crate) fn exc_info(error: &dyn Error) -> ExcInfo {
    let mut traceback = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = writeln!(traceback, "caused by: {error}");
        cause = error.source();
    }
    ExcInfo { kind: "Error".to_owned(), message: error.to_string(), traceback }
}

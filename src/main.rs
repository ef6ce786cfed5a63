//! The program `wasgi`: the command line of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasgi::cli::run()
}

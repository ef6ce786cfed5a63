//! dev
use super::{args, fault::Failure};
pub(super) fn run(_typed: args::Dev) -> Result<(), Failure> { Err(Failure::failed("x", "")) }

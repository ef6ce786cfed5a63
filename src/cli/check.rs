//! check
use super::{args, fault::Failure};
pub(super) fn run(_typed: &args::Check) -> Result<(), Failure> { Err(Failure::failed("x", "")) }

//! Landlock: which files a process may open, and that it reaches no port, no abstract socket and no process outside.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use super::Level;

/// The newest rules that this program knows; an older kernel holds what it can.
const RULES: ABI = ABI::V7;

/// Restricts this thread and those that it starts. Paths that are not there are left out.
pub(super) fn restrict(read: &[PathBuf], write: &[PathBuf]) -> Result<Level, RulesetError> {
    let looks = AccessFs::ReadFile | AccessFs::ReadDir;
    let odd = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo | AccessFs::MakeSock | AccessFs::IoctlDev;
    let writes: BitFlags<AccessFs> = AccessFs::from_all(RULES) & !odd;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(read, looks))?
        .add_rules(path_beneath_rules(write, writes))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Level::Full,
        RulesetStatus::PartiallyEnforced => Level::Part,
        RulesetStatus::NotEnforced => Level::None,
    })
}

/// What the kernel offers of it; nothing is restricted.
pub(super) fn offered() -> Level {
    let all = |rules: ABI| {
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(rules)).and_then(|ruleset| {
            let net = AccessNet::from_all(rules);
            let scope = Scope::from_all(rules);
            let ruleset = if net.is_empty() { ruleset } else { ruleset.handle_access(net)? };
            let ruleset = if scope.is_empty() { ruleset } else { ruleset.scope(scope)? };
            ruleset.create()
        })
    };
    match (all(RULES), all(ABI::V1)) {
        (Ok(_), _) => Level::Full,
        (Err(_), Ok(_)) => Level::Part,
        (Err(_), Err(_)) => Level::None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, thread};

    use super::*;

    #[test]
    fn a_process_opens_what_it_was_given_and_nothing_else() {
        let (read, write, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&read, &write, &other] {
            fs::write(folder.path().join("file"), "x").unwrap();
        }
        // Of a thread, so that the other tests go on without.
        let confined = thread::spawn({
            let [read, write, other] = [&read, &write, &other].map(|folder| folder.path().to_owned());
            move || {
                rustix::thread::set_no_new_privs(true).unwrap();
                let level = restrict(std::slice::from_ref(&read), std::slice::from_ref(&write)).unwrap();
                let reads = [&read, &write, &other].map(|folder| fs::read(folder.join("file")).is_ok());
                let writes = [&read, &write, &other].map(|folder| fs::write(folder.join("new"), "y").is_ok());
                (level, reads, writes, TcpListener::bind("127.0.0.1:0").is_ok(), fs::read("/etc/passwd").is_ok())
            }
        });
        assert_eq!(confined.join().unwrap(), (Level::Full, [true, true, false], [false, true, false], false, false));
    }
}

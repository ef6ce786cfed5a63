//! seccomp: the calls of the kernel that serving, compiling and releasing need. Every other one answers EPERM.
//!
//! What is left out on purpose: new sockets and connections, other programs, other processes (ptrace, kill, process_vm_*), mounts,
//! namespaces, kernel modules, keys, bpf, perf, io_uring, userfaultfd.

use std::{collections::BTreeMap, io};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter_all_threads,
};

/// Reading, writing and naming files and sockets that are there.
const FILES: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_utimensat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_umask,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
];

/// Memory, threads, time, and what a process asks of itself.
const SELF: &[i64] = &[
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_brk,
    libc::SYS_memfd_create,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    // Refused by the first filter, so that the libc takes `clone`, whose flags can be seen.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
];

/// The older spellings of some of them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_pipe,
    libc::SYS_time,
    libc::SYS_getrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// `PR_SET_NAME` of a thread, and of a mapping.
const NAMES: [u64; 2] = [15, 0x5356_4d41];
/// What may be asked of a file that no other call asks: whether it is a terminal, that it does not block, that it is not handed on, and of a
/// socket, how much of it waits to be read and to be taken.
const IOCTLS: [u64; 5] = [0x5401, 0x5421, 0x5451, 0x541b, 0x5411];
/// `fcntl`: copies of a descriptor, its flags, and the seals of memory; not whom it signals.
const COMMANDS: [u64; 8] = [0, 1, 2, 3, 4, 1030, 1033, 1034];
const PRIO_PROCESS: u64 = 0;
const CLONE_THREAD: u64 = 0x0001_0000;

/// Filters the calls of all threads of this process.
///
/// # Errors
/// `Unsupported` when this kernel or this machine has no such filter.
pub(super) fn restrict(asks: &[u64]) -> io::Result<()> {
    for program in programs(asks).map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error.to_string()))? {
        apply_filter_all_threads(&program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                io::Error::new(io::ErrorKind::Unsupported, error)
            }
            error @ (seccompiler::Error::Backend(_)
            | seccompiler::Error::EmptyFilter
            | seccompiler::Error::Prctl(_)
            | seccompiler::Error::Seccomp(_)
            | seccompiler::Error::ThreadSync(_)) => io::Error::other(error.to_string()),
        })?;
    }
    Ok(())
}

/// Whether this kernel filters calls.
pub(super) fn are_offered() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").is_ok_and(|actions| actions.contains("errno"))
}

fn programs(asks: &[u64]) -> Result<[BpfProgram; 2], BackendError> {
    let arch = || TargetArch::try_from(std::env::consts::ARCH);
    let errno = |code: i32| SeccompAction::Errno(u32::try_from(code).unwrap_or(1));
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let first = SeccompFilter::new(no_clone3, SeccompAction::Allow, errno(libc::ENOSYS), arch()?)?;
    let second = SeccompFilter::new(rules(asks)?, errno(libc::EPERM), SeccompAction::Allow, arch()?)?;
    Ok([first.try_into()?, second.try_into()?])
}

fn rules(asks: &[u64]) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let is = |argument: u8, length: SeccompCmpArgLen, operator: SeccompCmpOp, value: u64| {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, operator, value)?])
    };
    let (word, double) = (|| SeccompCmpArgLen::Dword, || SeccompCmpArgLen::Qword);
    let each = |argument: u8, values: &[u64]| {
        values.iter().map(|value| is(argument, word(), SeccompCmpOp::Eq, *value)).collect::<Result<Vec<_>, _>>()
    };
    let mut rules: BTreeMap<_, _> = FILES.iter().chain(SELF).chain(OLDER).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![is(0, double(), SeccompCmpOp::MaskedEq(CLONE_THREAD), CLONE_THREAD)?]);
    rules.insert(libc::SYS_prctl, each(0, &NAMES)?);
    rules.insert(libc::SYS_ioctl, each(1, &[&IOCTLS, asks].concat())?);
    // Limits may be read, and this process may end itself.
    rules.insert(libc::SYS_prlimit64, vec![is(2, double(), SeccompCmpOp::Eq, 0)?]);
    // A thread may give way: the kernel lets nobody without privileges come back.
    let own = [(0, PRIO_PROCESS), (1, 0)].map(|(argument, value)| SeccompCondition::new(argument, word(), SeccompCmpOp::Eq, value));
    rules.insert(libc::SYS_setpriority, vec![SeccompRule::new(own.into_iter().collect::<Result<_, _>>()?)?]);
    rules.insert(libc::SYS_fcntl, each(1, &COMMANDS)?);
    rules.insert(libc::SYS_tgkill, vec![is(0, word(), SeccompCmpOp::Eq, std::process::id().into())?]);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_reads_and_computes_and_reaches_nothing_new() {
        use std::{fs, net, process::Command, thread};

        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Of a thread, so that the other tests go on without.
        let confined = thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            for program in programs(&[]).unwrap() {
                seccompiler::apply_filter(&program).unwrap();
            }
            let other = thread::spawn(|| 7).join().unwrap();
            let kind = |error: io::Error| error.kind();
            let connected = net::TcpStream::connect(address).map(drop).map_err(kind);
            let spawned = Command::new("/bin/true").spawn().map(drop).map_err(kind);
            let signalled = rustix::process::test_kill_process(rustix::process::Pid::INIT).map_err(|error| kind(error.into()));
            (other, fs::read("/proc/self/stat").is_ok(), connected, spawned, signalled)
        });
        let denied = Err(io::ErrorKind::PermissionDenied);
        assert_eq!(confined.join().unwrap(), (7, true, denied, denied, denied));
    }

    #[test]
    fn the_filters_can_be_built_and_what_is_not_needed_is_not_in_them() {
        assert!(programs(&[]).unwrap().iter().all(|program| program.len() > 5));
        let rules = rules(&[]).unwrap();
        let never =
            [libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_kill];
        assert!(never.iter().all(|call| !rules.contains_key(call)));
    }
}

//! What was typed. The flags of the limits are made from [`Limits::TABLE`].

use std::{ffi::OsString, net::SocketAddr, num::NonZero, path::PathBuf};

use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

mod host;

pub(super) use self::host::{Config, ConfigVerb, Deploy, Logs, Named, Top, Where};
use super::proxies::ProxyFlags;
use crate::{
    build::Template,
    exchange::Uploads,
    limits::{Amount, Limits},
    sandbox::{Isolation, Way},
    telemetry::Style,
};

/// Runs WSGI applications that nobody has to trust.
#[derive(Debug, Parser)]
#[command(name = "wasgi", version, max_term_width = 110)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begins a new application
    New(New),
    /// Builds an application, in Python, Rust, C, Go or JavaScript, into one file
    Build(Build),
    /// Serves an application
    Serve(Box<Serve>),
    /// Serves an application while it is written: changes are taken over, errors are shown
    Dev(Box<Dev>),
    /// Runs a management command of an application (Django's manage.py, Flask's commands) in the sandbox
    Manage(Box<Manage>),
    /// Looks for what would go wrong in production
    Check(Check),
    /// Answers one request of a web server that runs it as a CGI program
    Cgi(Box<Cgi>),
    /// Says what a built file is, and what it may touch
    Inspect(Inspect),
    /// Has a running host serve a built file, as a tenant's application
    Deploy(Box<Deploy>),
    /// Has a running host serve an application no longer
    Undeploy(Named),
    /// Has an application answer 503 until it is resumed
    Suspend(Named),
    /// Has a suspended application answer again
    Resume(Named),
    /// Has a running host look at its configuration again
    Reload(Where),
    /// Prints a tenant's last lines
    Logs(Logs),
    /// Shows what each tenant uses
    Top(Top),
    /// Looks at a host's configuration
    Config(Config),
    /// Serves, as a supervisor says: what `serve` starts
    #[command(hide = true)]
    Worker,
    /// Compiles or releases, as a supervisor says: what `serve` starts
    #[command(hide = true)]
    Stage,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// Where tools, packages and compiled code are kept [default: ~/.cache/wasgi]
    #[arg(long, env = "WASGI_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct New {
    /// What to begin with
    #[arg(short, long, value_enum)]
    pub template: TemplateName,
    /// The folder to make; its last part is the application's name
    pub name: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum TemplateName {
    /// Python: Flask
    Flask,
    /// Python: a Django project with its admin
    Django,
    /// Python: a callable and nothing else
    Wsgi,
    /// Rust
    Rust,
    /// C
    C,
    /// Go, with net/http
    Go,
    /// JavaScript, with the Fetch API
    Javascript,
}

impl From<TemplateName> for Template {
    fn from(name: TemplateName) -> Self {
        match name {
            TemplateName::Flask => Self::Flask,
            TemplateName::Django => Self::Django,
            TemplateName::Wsgi => Self::Wsgi,
            TemplateName::Rust => Self::Rust,
            TemplateName::C => Self::C,
            TemplateName::Go => Self::Go,
            TemplateName::Javascript => Self::JavaScript,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct Build {
    /// A folder, a Python file, or module:name
    #[arg(default_value = ".")]
    pub app: String,
    /// The file to make [default: dist/NAME.wasm in the application's folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Build source distributions here; this runs their authors' code on this machine
    #[arg(long)]
    pub allow_sdist: bool,
    #[command(flatten)]
    pub environment: Environment,
    #[command(flatten)]
    pub common: Common,
}

/// The application's environment.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Environment {
    /// A variable of the application's environment; NAME alone takes its value from the environment of this command
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// A file with lines NAME=VALUE; it keeps secrets from the process list
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}

/// What an application is given wherever it runs.
#[derive(Args, Clone, Debug)]
pub(super) struct Grants {
    /// The tenant's name in the logs [default: the application's]
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// A folder that the application may write, as /data; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub environment: Environment,
}

#[derive(Args, Debug)]
pub(super) struct Dev {
    /// A folder, a Python file, or module:name
    #[arg(default_value = ".")]
    pub app: String,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub bind: SocketAddr,
    /// Do not watch for changes
    #[arg(long)]
    pub no_watch: bool,
    /// Build source distributions here; this runs their authors' code on this machine
    #[arg(long)]
    pub allow_sdist: bool,
    #[command(flatten)]
    pub grants: Grants,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Args, Debug)]
pub(super) struct Manage {
    /// A built file, a folder, a Python file, or module:name; what is no built file is built first
    pub what: String,
    /// Let the command write the application's own folder, as makemigrations does
    #[arg(long)]
    pub write: bool,
    /// The command and its arguments: migrate, createsuperuser --noinput, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Build source distributions here; this runs their authors' code on this machine
    #[arg(long)]
    pub allow_sdist: bool,
    #[command(flatten)]
    pub grants: Grants,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Args, Debug)]
pub(super) struct Cgi {
    /// A built file
    pub file: PathBuf,
    /// Take SCRIPT_NAME off the beginning of PATH_INFO, where Microsoft's IIS puts it
    #[arg(long)]
    pub iis: bool,
    #[command(flatten)]
    pub grants: Grants,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Args, Debug)]
pub(super) struct Check {
    /// A folder, a Python file, or module:name
    #[arg(default_value = ".")]
    pub app: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub environment: Environment,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub(super) struct Inspect {
    /// A built file
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a configuration says, and would be ignored beside one; and every limit.
const BESIDE_CONFIG: [&str; 17] = [
    "what",
    "bind",
    "isolation",
    "uploads",
    "mount",
    "access_log",
    "log_format",
    "workers",
    "rewind",
    "strict",
    "stop_grace",
    "allow_sdist",
    "tenant",
    "data",
    "env",
    "env_file",
    "ProxyFlags",
];

#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Serve what a configuration says, for many tenants; it says all that the other flags say
    #[arg(long, value_name = "FILE", conflicts_with_all = BESIDE_CONFIG)]
    pub config: Option<PathBuf>,
    /// A built file, a folder, a Python file, or module:name; what is no built file is built first
    #[arg(default_value = ".")]
    pub what: String,
    /// Where to listen; may be given again; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub bind: Vec<SocketAddr>,
    /// What of one request the next can see
    #[arg(long, value_enum, default_value_t)]
    pub isolation: IsolationName,
    /// What the application is given of an upload without a Content-Length [default: what its framework reads]
    #[arg(long, value_enum)]
    pub uploads: Option<UploadsName>,
    /// The path at which the application is mounted (SCRIPT_NAME)
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub mount: String,
    /// Log each request [default form: text]
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub access_log: Option<AccessName>,
    /// How the other lines are written
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogName,
    /// Processes that serve [default: one a core]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZero<usize>>,
    /// How instances are rewound [default: the best way that the kernel has]
    #[arg(long, value_enum, value_name = "WAY")]
    pub rewind: Option<RewindName>,
    /// Compare every memory that was rewound with what it was, whole
    #[arg(long)]
    pub verify_rewind: bool,
    /// Refuse to run where the kernel lacks landlock or seccomp
    #[arg(long)]
    pub require_sandbox: bool,
    /// Look for rules of WSGI that the application breaks, and tell them in its log
    #[arg(long)]
    pub strict: bool,
    /// How long a stop waits for requests in flight, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub stop_grace: u32,
    /// Build source distributions here; this runs their authors' code on this machine
    #[arg(long)]
    pub allow_sdist: bool,
    #[command(flatten)]
    pub proxies: ProxyFlags,
    #[command(flatten)]
    pub grants: Grants,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub limits: LimitFlags,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum LogName {
    /// For people
    #[default]
    Text,
    /// One object a line
    Json,
}

impl From<LogName> for Style {
    fn from(name: LogName) -> Self {
        match name {
            LogName::Text => Self::Text,
            LogName::Json => Self::Json,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AccessName {
    /// For people
    Text,
    /// Apache's combined form
    Combined,
    /// One object a line
    Json,
}

impl From<AccessName> for Style {
    fn from(name: AccessName) -> Self {
        match name {
            AccessName::Text => Self::Text,
            AccessName::Combined => Self::Combined,
            AccessName::Json => Self::Json,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum IsolationName {
    /// Nothing: a pristine instance for each request
    #[default]
    Request,
    /// Nothing: an instance serves request after request, each with the memory of a new one
    Rewind,
    /// What the application keeps: an instance serves request after request
    Reuse,
}

impl From<IsolationName> for Isolation {
    fn from(name: IsolationName) -> Self {
        match name {
            IsolationName::Request => Self::Request,
            IsolationName::Rewind => Self::Rewind,
            IsolationName::Reuse => Self::Reuse,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RewindName {
    /// By write-protection
    Userfaultfd,
    /// By which pages are copies of the image's
    Private,
}

impl From<RewindName> for Way {
    fn from(name: RewindName) -> Self {
        match name {
            RewindName::Userfaultfd => Self::Userfaultfd,
            RewindName::Private => Self::Private,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum UploadsName {
    /// The bytes as they come, with wsgi.input_terminated
    #[default]
    Streamed,
    /// The whole, with CONTENT_LENGTH; Django needs this
    Buffered,
}

impl From<UploadsName> for Uploads {
    fn from(name: UploadsName) -> Self {
        match name {
            UploadsName::Streamed => Self::Streamed,
            UploadsName::Buffered => Self::Buffered,
        }
    }
}

/// One flag for each limit.
#[derive(Clone, Debug)]
pub(super) struct LimitFlags(pub Limits);

impl FromArgMatches for LimitFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut limits = Self(Limits::default());
        limits.update_from_arg_matches(matches)?;
        Ok(limits)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for limit in Limits::TABLE {
            if let Some(value) = matches.get_one::<u64>(limit.flag) {
                limit.set(&mut self.0, *value);
            }
        }
        Ok(())
    }
}

impl Args for LimitFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let beside_config = command.get_arguments().any(|argument| argument.get_id() == "config");
        Limits::TABLE.iter().fold(command.next_help_heading("Limits"), |command, limit| {
            let unit = limit.unit;
            let default = Amount(limit.default, unit);
            let flag = Arg::new(limit.flag)
                .long(limit.flag)
                .value_name("N")
                .value_parser(move |text: &str| Amount::parse(text, unit).map(|amount| amount.0))
                .help(format!("{} [default: {default}]", limit.help.trim().trim_end_matches('.')));
            command.arg(if beside_config { flag.conflicts_with("config") } else { flag })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = Typed::command().try_get_matches_from(words)?;
    Typed::from_arg_matches(&matches).map(|typed| typed.command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, String> {
        parse(words.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Typed::command().debug_assert();
    }

    #[test]
    fn every_limit_has_a_flag() {
        for limit in Limits::TABLE {
            let flag = format!("--{}", limit.flag);
            let Ok(Command::Serve(serve)) = parsed(&["wasgi", "serve", "a.wasm", &flag, "7"]) else { panic!("{flag}") };
            let mut expected = Limits::default();
            limit.set(&mut expected, 7);
            assert_eq!(serve.limits.0, expected);
        }
    }

    #[test]
    fn sizes_and_unknown_flags_are_explained() {
        let bad = parsed(&["wasgi", "serve", "--max-body", "lots"]).unwrap_err();
        assert!(bad.contains("`lots` is no size; write bytes, or 64KiB, 10MiB, 1GiB"), "{bad}");
        let unknown = parsed(&["wasgi", "serve", "--max-bdy", "1"]).unwrap_err();
        assert!(unknown.contains("a similar argument exists: '--max-body'"), "{unknown}");
    }
}

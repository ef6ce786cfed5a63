//! The words of the commands that speak to a running host, or look at its configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Common, Environment, IsolationName};

/// Where a running host is told what to do.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Where {
    /// The host's configuration, which says where its socket is
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Its admin socket
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Deploy {
    /// A built file
    pub file: PathBuf,
    /// Whose it is
    #[arg(long, value_name = "NAME")]
    pub tenant: String,
    /// Its name among its tenant's [default: the tenant's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A host name that it is served at; may be given again [default: all that have nothing of their own]
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Where it is mounted (SCRIPT_NAME)
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// The path of its first request, which has to be answered before it is switched in [default: /]
    #[arg(long, value_name = "PATH")]
    pub check: Option<String>,
    /// What of one request the next can see
    #[arg(long, value_enum, default_value_t)]
    pub isolation: IsolationName,
    /// Give it a folder that it may write, as /data
    #[arg(long)]
    pub data: bool,
    /// Others of the same file and environment have its release too
    #[arg(long)]
    pub shared_release: bool,
    /// A limit: guest_cpu=2s; may be given again
    #[arg(long, value_name = "NAME=VALUE")]
    pub limit: Vec<String>,
    #[command(flatten)]
    pub environment: Environment,
    #[command(flatten)]
    pub to: Where,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Named {
    /// TENANT/APP, or TENANT for its one application of the same name
    pub app: String,
    #[command(flatten)]
    pub to: Where,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Logs {
    /// Whose
    pub tenant: String,
    /// And those to come
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub to: Where,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Top {
    /// Print what there is, once
    #[arg(long)]
    pub once: bool,
    /// Print JSON, once
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub to: Where,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Config {
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigVerb {
    /// Says everything that is wrong with it
    Check {
        /// A host.toml, or an application's wasgi.toml
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Says what holds, and where each limit comes from
    Show {
        /// A host.toml, or an application's wasgi.toml
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Prints the JSON Schema of a host.toml
    Schema {
        /// That of an application's wasgi.toml
        #[arg(long)]
        app: bool,
    },
}

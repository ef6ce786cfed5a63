//! A `host.toml` as what it means: the plan of a host, and what it serves.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    keys::{HOST, ONE_APP, Scope, scope},
    mistakes::Mistakes,
    tree::{Node, Reader, Section, Value},
};
use crate::{
    environ::{Forwarding, Proxies},
    limits::{Amount, Limit, LimitFault, Limits, Unit},
    sandbox::Way,
    supervisor::{CACHE_BYTES, DEFAULT_GROUP, Group, LogPlan, Plan, Rewinding, Wish, meet},
    telemetry::{Format, Style},
    tenant::TenantId,
};

/// The longest configuration.
const FILE_BYTES: u64 = 64 << 20;
const MAX_APPS: u64 = 1_000;

/// A host's configuration.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// What it is begun with.
    pub plan: Plan,
    /// What it serves.
    pub wishes: Vec<Wish>,
    /// How it is told what to do.
    pub admin: Admin,
    /// A folder whose files it serves.
    pub watch: Option<Watch>,
    /// Where each limit of each application comes from, for people.
    pub settings: Vec<Setting>,
    /// What holds for an application that says nothing.
    pub defaults: Limits,
    /// What none may go beyond.
    pub ceilings: Limits,
    context: Context,
}

/// What an application's table is read beside.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub defaults: Vec<(String, u64)>,
    pub tenants: BTreeMap<TenantId, Tenant>,
    pub ceilings: Limits,
    pub state: PathBuf,
}

/// Where a host is told what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// A Unix socket, of this user's alone.
    pub socket: PathBuf,
    /// An address of the loopback, and the token that it asks for.
    pub tcp: Option<(SocketAddr, String)>,
}

/// A folder whose built files are served.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The folder.
    pub folder: PathBuf,
    /// Below which domain; by path without.
    pub domain: Option<String>,
}

/// A limit of an application, and who has set it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Setting {
    /// The application.
    pub app: String,
    /// The limit.
    pub limit: String,
    /// Its value.
    pub value: String,
    /// `default`, `defaults.limits`, `tenant` or `app`.
    pub source: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub group: Option<String>,
    pub limits: Vec<(String, u64)>,
}

impl HostConfig {
    /// Reads `file`. `cache` and `state` are where these lie if it does not say; `levels` are those of `WASGI_LOG`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(file: &Path, cache: &Path, levels: &str) -> io::Result<Result<Self, Mistakes>> {
        let length = fs::metadata(file)?.len();
        if length > FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has {length} bytes; the most is {FILE_BYTES}")));
        }
        let text = fs::read_to_string(file)?;
        let folder = std::path::absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self::parse(file, &text, &folder, cache, levels))
    }

    fn parse(file: &Path, text: &str, folder: &Path, cache: &Path, levels: &str) -> Result<Self, Mistakes> {
        let mut reader = Reader::of(file, text, HOST);
        let root = reader.root();
        let config = Parse { reader: &mut reader, root: Section::of(&root), folder, cache, levels }.all();
        if reader.mistakes.count() == 0 { Ok(config) } else { Err(reader.mistakes) }
    }
}

impl HostConfig {
    /// What the one `[[app]]` table of `text` wishes, with this host's defaults, tenants and ceilings. Its paths are seen from `folder`.
    ///
    /// # Errors
    /// [`Mistakes`], all of them.
    pub fn drop_in(&self, file: &Path, text: &str, folder: &Path) -> Result<Wish, Mistakes> {
        let mut reader = Reader::of(file, text, ONE_APP);
        let root = reader.root();
        let root = Section::of(&root);
        let apps = root.sections("app");
        let mut parse = Parse { reader: &mut reader, root, folder, cache: &self.plan.cache, levels: "" };
        let wish = if let [app] = *apps.as_slice() {
            parse.app(0, app, &self.context, &mut Vec::new())
        } else {
            parse.reader.wrong(&(0..text.len().min(1)), format!("there are {} applications", apps.len()), "exactly one [[app]]");
            None
        };
        match wish {
            Some(wish) if reader.mistakes.count() == 0 => Ok(wish),
            Some(_) | None => Err(reader.mistakes),
        }
    }
}

pub(super) struct Parse<'r, 'a> {
    pub reader: &'r mut Reader,
    root: Section<'a>,
    pub folder: &'a Path,
    cache: &'a Path,
    levels: &'a str,
}

impl Parse<'_, '_> {
    fn all(&mut self) -> HostConfig {
        let host = self.root.section("host");
        let cache = host.text("cache").map_or_else(|| self.cache.to_owned(), |(path, _)| self.folder.join(path));
        let state = host.text("state").map_or_else(|| cache.join("host"), |(path, _)| self.folder.join(path));
        let ceilings = self.limits_of(self.root, "ceilings", Limits::ceiling());
        let set = self.set(self.root.section("defaults"), "limits", Scope::Host, "defaults.limits");
        let defaults = self.applied(&Limits::default(), &[(&set, "defaults.limits")], &ceilings, self.root.section("defaults")).0;
        let groups = self.groups(host);
        let tenants = self.tenants(&groups, &ceilings);
        let context = Context { defaults: set, tenants, ceilings: ceilings.clone(), state: state.clone() };
        let (mut wishes, mut settings) = (Vec::new(), Vec::new());
        for (number, app) in self.root.sections("app").into_iter().enumerate() {
            if let Some(wish) = self.app(number, app, &context, &mut settings) {
                if wishes.iter().any(|other: &Wish| other.name == wish.name) {
                    let at = app.get("name").map_or_else(|| app.at(), |node| node.at.clone());
                    self.reader.wrong(&at, format!("`app[{number}]` is {} again", wish.name), "give each application of a tenant a `name`");
                }
                wishes.push(wish);
            }
        }
        let admin = self.admin(&state);
        let watch = self.root.section("watch");
        let watch = watch.text("folder").map(|(path, _)| Watch {
            folder: self.folder.join(path),
            domain: watch.text("domain").map(|(domain, _)| domain.trim_start_matches('.').to_owned()),
        });
        let time = |name: &str, most: u64| Duration::from_millis(host.amount(name, Unit::Millis).unwrap_or(most));
        let max_apps = usize::try_from(host.number("max_apps").unwrap_or(MAX_APPS)).unwrap_or(usize::MAX);
        let plan = Plan {
            groups,
            logs: self.logs(&state),
            // A tenant, an application, and the version that it replaces.
            rows: max_apps.saturating_mul(3).min(300_000),
            limits: defaults.clone(),
            proxies: self.proxies(),
            stop_grace: time("stop_grace", 30_000),
            format: self.format(),
            require_sandbox: host.switch("require_sandbox"),
            rewind: Rewinding {
                way: match host.text("rewind") {
                    Some(("userfaultfd", _)) => Some(Way::Userfaultfd),
                    Some(_) => Some(Way::Private),
                    None => None,
                },
                verify: host.switch("verify_rewind"),
            },
            stages: usize::try_from(host.number("stages").unwrap_or(1)).unwrap_or(1),
            cache_bytes: host.amount("max_cache", Unit::Bytes).unwrap_or(CACHE_BYTES),
            cache,
            state,
        };
        self.judge(max_apps, &wishes, watch.as_ref());
        HostConfig { plan, wishes, admin, watch, settings, defaults, ceilings, context }
    }

    /// Looks at all of it together.
    fn judge(&mut self, max_apps: usize, wishes: &[Wish], watch: Option<&Watch>) {
        let apps = self.root.sections("app");
        // Wishes that are no applications have no place.
        if apps.len() == wishes.len() {
            for (number, (wish, app)) in wishes.iter().zip(&apps).enumerate() {
                if let Some(other) = wishes.iter().take(number).find(|other| other.group == wish.group && meet(other, wish)) {
                    let at = app.get("host").or_else(|| app.get("path")).map_or_else(|| app.at(), |node| node.at.clone());
                    let found = format!("`app[{number}]` is served at the same host and path as {}", other.name);
                    self.reader.wrong(&at, found, "give it another `host` or `path`");
                }
            }
        }
        if wishes.len() > max_apps {
            let at = self.root.section("host").get("max_apps").map_or_else(|| self.root.at(), |node| node.at.clone());
            self.reader.wrong(
                &at,
                format!("there are {} applications", wishes.len()),
                format!("at most {max_apps}, or what `[host] max_apps` says"),
            );
        }
        if let Some(watch) = watch.filter(|watch| !watch.folder.is_dir()) {
            let section = self.root.section("watch");
            let at = section.get("folder").map_or_else(|| section.at(), |node| node.at.clone());
            self.reader.wrong(&at, format!("`watch.folder`: {} is no folder", watch.folder.display()), "make it first");
        }
    }

    /// Limits that were set in a table, each where it may be.
    pub(super) fn set(&mut self, section: Section<'_>, name: &str, here: Scope, shown: &str) -> Vec<(String, u64)> {
        let mut set = Vec::new();
        for (key, at, node) in section.entries(name) {
            let Some(limit) = Limit::of(key) else { continue };
            let belongs = scope(limit);
            let allowed = match here {
                Scope::Host => true,
                Scope::Tenant => belongs != Scope::Host,
                Scope::App => belongs == Scope::App,
            };
            if !allowed {
                let whose =
                    if belongs == Scope::Host { "the host: set it in [defaults.limits]" } else { "the tenant: set it in [[tenant]]" };
                self.reader.wrong(at, format!("`{shown}.{key}` cannot be set here"), format!("it belongs to {whose}"));
            } else if let Some(value) = amount(node, limit.unit) {
                set.push((key.clone(), value));
            }
        }
        set
    }

    /// Limits of a table that has nothing above it.
    fn limits_of(&mut self, section: Section<'_>, name: &str, mut limits: Limits) -> Limits {
        for (key, at, node) in section.entries(name) {
            if let (Some(limit), Some(value)) = (Limit::of(key), Limit::of(key).and_then(|limit| amount(node, limit.unit))) {
                if value > limit.max || value < limit.min {
                    let text = |value| Amount(value, limit.unit).to_string();
                    self.reader.wrong(
                        at,
                        format!("`{name}.{key}` is {}", text(value)),
                        format!("allowed is {} to {}", text(limit.min), text(limit.max)),
                    );
                }
                limit.set(&mut limits, value);
            }
        }
        limits
    }

    /// `base` with what was set, the last word last; and who had it. What is out of range is told where it stands.
    pub(super) fn applied(
        &mut self,
        base: &Limits,
        sets: &[(&Vec<(String, u64)>, &'static str)],
        ceilings: &Limits,
        section: Section<'_>,
    ) -> (Limits, BTreeMap<String, &'static str>) {
        let (mut limits, mut sources) = (base.clone(), BTreeMap::new());
        for (set, source) in sets {
            for (key, value) in *set {
                if let Some(limit) = Limit::of(key) {
                    limit.set(&mut limits, *value);
                    sources.insert(key.clone(), *source);
                }
            }
        }
        for fault in limits.check(ceilings).err().unwrap_or_default() {
            let (name, found, allowed) = match fault {
                LimitFault::BelowMinimum { name, found, min } => (name, found, format!("at least {min}")),
                LimitFault::AboveCeiling { name, found, ceiling } => (name, found, format!("at most {ceiling}")),
            };
            let Some(limit) = Limits::TABLE.iter().find(|limit| limit.name == name) else { continue };
            let key = limit.key();
            let at = section.section("limits").get(&key).map(|node| node.at.clone());
            // What is inherited is told where it is set; a default above a ceiling is brought down to it.
            match at {
                Some(at) => self.reader.wrong(&at, format!("`limits.{key}` is {found}"), format!("allowed is {allowed}")),
                None => limit.set(&mut limits, limit.get(ceilings).max(limit.min)),
            }
        }
        (limits, sources)
    }

    fn groups(&mut self, host: Section<'_>) -> Vec<Group> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = |number: Option<u64>, default: usize| number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default);
        let listen = self.root.section("listen");
        let mut bind = self.addresses(&listen.texts("bind"));
        if bind.is_empty() {
            bind.push(([127, 0, 0, 1], 8000).into());
        }
        let mut groups = vec![Group { name: DEFAULT_GROUP.to_owned(), workers: count(host.number("workers"), cores), bind }];
        for (number, group) in self.root.sections("worker_group").into_iter().enumerate() {
            let bind = self.addresses(&group.texts("bind"));
            let Some((name, at)) = group.text("name") else {
                self.reader.wrong(&group.at(), format!("`worker_group[{number}]` has no name"), "give it a `name`");
                continue;
            };
            if TenantId::new(name).is_err() || groups.iter().any(|other| other.name == name) {
                self.reader.wrong(&at, format!("`worker_group[{number}].name` is {name:?}"), "a name of its own: a-z, 0-9 and -");
            }
            if bind.is_empty() {
                self.reader.wrong(&group.at(), format!("`worker_group[{number}]` listens nowhere"), "give it a `bind`");
            }
            groups.push(Group { name: name.to_owned(), workers: count(group.number("workers"), 1), bind });
        }
        let workers: usize = groups.iter().map(|group| group.workers).sum();
        if workers > 64 {
            self.reader.wrong(&host.at(), format!("there are {workers} workers"), "at most 64 in all groups");
        }
        groups
    }

    fn addresses(&mut self, texts: &[(&str, Range<usize>)]) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for (text, at) in texts {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => {
                    self.reader.wrong(at, format!("{text:?} is no address"), "write it with its port: \"127.0.0.1:8000\", \"[::]:80\"");
                }
            }
        }
        addresses
    }

    fn tenants(&mut self, groups: &[Group], ceilings: &Limits) -> BTreeMap<TenantId, Tenant> {
        let mut tenants = BTreeMap::new();
        for (number, tenant) in self.root.sections("tenant").into_iter().enumerate() {
            let Some((name, at)) = tenant.text("name") else {
                self.reader.wrong(&tenant.at(), format!("`tenant[{number}]` has no name"), "give it a `name`");
                continue;
            };
            let group = tenant.text("worker_group");
            if let Some((group, at)) = group.as_ref().filter(|(name, _)| !groups.iter().any(|group| group.name == *name)) {
                self.reader.wrong(at, format!("`tenant[{number}].worker_group` is {group:?}"), "there is no [[worker_group]] of this name");
            }
            let limits = self.set(tenant, "limits", Scope::Tenant, &format!("tenant[{number}].limits"));
            // What is out of range is told here, and not where it is inherited.
            self.applied(&Limits::default(), &[(&limits, "tenant")], ceilings, tenant);
            let group = group.map(|(group, _)| group.to_owned());
            match TenantId::new(name) {
                Ok(name) => {
                    if tenants.insert(name.clone(), Tenant { group, limits }).is_some() {
                        self.reader.wrong(&at, format!("the tenant {name} stands here again"), "name each tenant once");
                    }
                }
                Err(bad) => self.reader.wrong(&at, format!("`tenant[{number}].name`: {bad}"), "1 to 63 of a-z, 0-9 and -"),
            }
        }
        tenants
    }

    fn proxies(&mut self) -> Proxies {
        let section = self.root.section("proxies");
        let mut proxies = Proxies { hops: usize::try_from(section.number("hops").unwrap_or(1)).unwrap_or(1).min(32), ..Proxies::default() };
        for (text, at) in section.texts("networks") {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => proxies.networks.push(network),
                Err(_) => self.reader.wrong(&at, format!("{text:?} is no network"), "write \"10.0.0.0/8\", \"::1\""),
            }
        }
        for (text, at) in section.texts("fields") {
            match text.to_ascii_lowercase().as_str() {
                "forwarded" => proxies.fields.push(Forwarding::Forwarded),
                "x-forwarded-for" => proxies.fields.push(Forwarding::For),
                "x-forwarded-proto" => proxies.fields.push(Forwarding::Proto),
                "x-forwarded-host" => proxies.fields.push(Forwarding::Host),
                "x-forwarded-prefix" => proxies.fields.push(Forwarding::Prefix),
                "x-request-id" => proxies.fields.push(Forwarding::RequestId),
                _ => self.reader.wrong(
                    &at,
                    format!("{text:?} is not known"),
                    "forwarded, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-forwarded-prefix, x-request-id",
                ),
            }
        }
        if proxies.networks.is_empty() != proxies.fields.is_empty() {
            self.reader.wrong(&section.at(), "`proxies` is not whole", "it needs both `networks` and `fields`");
        }
        proxies
    }

    fn format(&self) -> Format {
        let log = self.root.section("log");
        let style = |name: &str| {
            log.text(name).map(|(text, _)| match text {
                "json" => Style::Json,
                "combined" => Style::Combined,
                _ => Style::Text,
            })
        };
        Format { lines: style("lines").unwrap_or_default(), access: style("access"), levels: self.levels.to_owned() }
    }

    fn logs(&self, state: &Path) -> LogPlan {
        let log = self.root.section("log");
        if matches!(log.text("tenants"), Some(("terminal", _))) {
            return LogPlan::Terminal;
        }
        let folder = log.text("folder").map_or_else(|| state.join("logs"), |(path, _)| self.folder.join(path));
        LogPlan::Folder { folder, most: log.amount("max_file", Unit::Bytes).unwrap_or(10 << 20) }
    }

    fn admin(&mut self, state: &Path) -> Admin {
        let admin = self.root.section("admin");
        let socket = admin.text("socket").map_or_else(|| state.join("admin.sock"), |(path, _)| self.folder.join(path));
        let tcp = admin.text("bind").and_then(|(text, at)| {
            let address = text.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback());
            if address.is_none() {
                self.reader.wrong(&at, format!("`admin.bind` is {text:?}"), "an address of the loopback with its port: \"127.0.0.1:8001\"");
            }
            let Some((file, file_at)) = admin.text("token_file") else {
                self.reader.wrong(&at, "`admin.bind` has no token", "name a `token_file`: whoever has its content may do everything");
                return None;
            };
            let token = fs::read_to_string(self.folder.join(file)).map(|token| token.trim().to_owned());
            match token {
                Ok(token) if token.len() >= 16 => address.map(|address| (address, token)),
                Ok(_) => {
                    self.reader.wrong(&file_at, "the token is too short", "at least 16 characters: `openssl rand -hex 32`");
                    None
                }
                Err(error) => {
                    self.reader.wrong(&file_at, format!("`admin.token_file` cannot be read: {error}"), "a file with a token");
                    None
                }
            }
        });
        Admin { socket, tcp }
    }
}

/// An amount that was checked.
fn amount(node: &Node, unit: Unit) -> Option<u64> {
    match &node.value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => Amount::parse(text, unit).ok().map(|amount| amount.0),
        Value::Switch(_) | Value::List(_) | Value::Table(_) | Value::Odd(_) => None,
    }
}

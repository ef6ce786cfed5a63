//! One `[[app]]` table as the wish it is.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    environment,
    host::{Context, Parse, Setting},
    keys::Scope,
    tree::{Reader, Section, Value},
};
use crate::{
    artifact::Terms,
    exchange::Uploads,
    limits::{Amount, Limits},
    sandbox::{Allowance, Isolation, Kept, Storage, Strictness},
    supervisor::{AppName, Origin, Wish},
    tenant::{HostName, Mount, TenantId},
};

impl Parse<'_, '_> {
    pub(super) fn app(
        &mut self,
        number: usize,
        app: Section<'_>,
        Context { defaults: set, tenants, ceilings, state }: &Context,
        settings: &mut Vec<Setting>,
    ) -> Option<Wish> {
        let here = format!("app[{number}]");
        let needed = |reader: &mut Reader, key: &str| {
            let text = app.text(key);
            if text.is_none() {
                reader.wrong(&app.at(), format!("`{here}` has no `{key}`"), "it has to be said");
            }
            text
        };
        let (tenant, source) = (needed(self.reader, "tenant"), needed(self.reader, "source"));
        let ((tenant, tenant_at), (source, source_at)) = (tenant?, source?);
        let tenant = TenantId::new(tenant)
            .map_err(|bad| self.reader.wrong(&tenant_at, format!("`{here}.tenant`: {bad}"), "1 to 63 of a-z, 0-9 and -"))
            .ok()?;
        let file = self.folder.join(source);
        if !file.is_file() {
            self.reader.wrong(&source_at, format!("`{here}.source`: {} is no file", file.display()), "build it: `wasgi build`");
        }
        let name = app.text("name").map_or_else(|| tenant.to_string(), |(name, _)| name.to_owned());
        if let Err(bad) = TenantId::new(&name) {
            let at = app.text("name").map_or_else(|| app.at(), |(_, at)| at);
            self.reader.wrong(&at, format!("`{here}.name`: {bad}"), "1 to 63 of a-z, 0-9 and -");
        }
        let own = self.set(app, "limits", Scope::App, &format!("{here}.limits"));
        let none = Vec::new();
        let of_tenant = tenants.get(&tenant);
        let sets = [(set, "defaults.limits"), (of_tenant.map_or(&none, |tenant| &tenant.limits), "tenant"), (&own, "app")];
        let (limits, sources) = self.applied(&Limits::default(), &sets, ceilings, app);
        let name = AppName { tenant: tenant.clone(), app: name };
        settings.extend(Limits::TABLE.iter().map(|limit| Setting {
            app: name.to_string(),
            limit: limit.key(),
            value: Amount(limit.get(&limits), limit.unit).to_string(),
            source: sources.get(&limit.key()).copied().unwrap_or("default"),
        }));
        let terms = Terms {
            tenant,
            isolation: match app.text("isolation") {
                Some(("reuse", _)) => Isolation::Reuse,
                Some(("rewind", _)) => Isolation::Rewind,
                _ => Isolation::Request,
            },
            strictness: if app.switch("strict") { Strictness::Strict } else { Strictness::Plain },
            storage: self.data(&here, app, &name, state, limits.data_bytes),
            environment: self.environment(&here, app),
            limits,
        };
        Some(Wish {
            given: file.clone(),
            file,
            hosts: self.hosts(app),
            mount: self.mount(app),
            uploads: app.text("uploads").map(|(text, _)| if text == "buffered" { Uploads::Buffered } else { Uploads::Streamed }),
            terms,
            suspended: app.switch("suspended"),
            check: Some(app.text("check").map_or("/", |(path, _)| path).to_owned()),
            group: of_tenant.and_then(|tenant| tenant.group.clone()),
            shared_release: app.switch("shared_release"),
            origin: Origin::Configuration,
            name,
        })
    }

    fn hosts(&mut self, app: Section<'_>) -> Vec<HostName> {
        let mut hosts = Vec::new();
        for (text, at) in app.texts("host") {
            match HostName::new(text) {
                Ok(host) => hosts.push(host),
                Err(bad) => self.reader.wrong(&at, bad.to_string(), "a host name"),
            }
        }
        hosts
    }

    fn mount(&mut self, app: Section<'_>) -> String {
        let Some((path, at)) = app.text("path") else { return String::new() };
        match Mount::new(path) {
            Ok(mount) => mount.script_name().to_owned(),
            Err(bad) => {
                self.reader.wrong(&at, bad.to_string(), "a mount");
                String::new()
            }
        }
    }

    fn data(&mut self, here: &str, app: Section<'_>, name: &AppName, state: &Path, limit: u64) -> Vec<Storage> {
        let root = match app.get("data").map(|node| &node.value) {
            Some(Value::Text(path)) => self.folder.join(path),
            Some(Value::Switch(true)) => state.join("data").join(name.tenant.as_str()).join(&name.app),
            _ => return Vec::new(),
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).and_then(|()| root.canonicalize());
        match made {
            Ok(root) => {
                let folders = vec![Kept { inside: PathBuf::new(), guest: "/data".to_owned() }];
                vec![Storage { root, folders, limit, names: Storage::NAMES, allowance: Allowance::All }]
            }
            Err(error) => {
                let at = app.get("data").map_or_else(|| app.at(), |node| node.at.clone());
                self.reader.wrong(&at, format!("`{here}.data`: {} cannot be used: {error}", root.display()), "a folder of this user's");
                Vec::new()
            }
        }
    }

    fn environment(&mut self, here: &str, app: Section<'_>) -> Vec<(String, String)> {
        let mut variables = BTreeMap::new();
        for (file, at) in app.texts("env_file") {
            match environment::read(&self.folder.join(file)) {
                Ok(read) => variables.extend(read),
                Err(why) => self.reader.wrong(&at, format!("`{here}.env_file`: {why}"), "a file with lines NAME=VALUE"),
            }
        }
        for (name, _, value) in app.entries("env") {
            if let Value::Text(text) = &value.value {
                variables.insert(name.clone(), text.clone());
            }
        }
        if let Err(why) = environment::check(&variables) {
            let at = app.get("env").map_or_else(|| app.at(), |node| node.at.clone());
            self.reader.wrong(&at, format!("`{here}.env`: {why}"), "at most 64 variables of 5 KiB");
        }
        variables.into_iter().collect()
    }
}

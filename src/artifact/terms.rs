//! On which terms an application runs: all that its operator has decided, as it goes from process to process.

use std::collections::BTreeMap;

use super::Meta;
use crate::{
    ledger::Account,
    limits::Limits,
    sandbox::{AppOptions, Isolation, Kept, Storage, Strictness, TenantLog},
    tenant::TenantId,
};

/// On which terms an application runs.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Terms {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may use.
    pub limits: Limits,
    /// What of one request the next can see.
    pub isolation: Isolation,
    /// Whether broken rules are looked for.
    pub strictness: Strictness,
    /// What it may keep.
    pub storage: Vec<Storage>,
    /// Its environment. It may hold secrets.
    pub environment: Vec<(String, String)>,
}

impl Terms {
    /// The same of an application in this process.
    #[must_use]
    pub fn of(options: &AppOptions) -> Self {
        Self {
            tenant: options.log.tenant().clone(),
            limits: options.limits.clone(),
            isolation: options.isolation,
            strictness: options.strictness,
            storage: options.storage.clone(),
            environment: options.environment.clone(),
        }
    }

    /// The same, with what its file says where its operator says nothing, variables and folders that lie in `/data`; and with limits that it asks
    /// to be smaller. Those are the file's word.
    #[must_use]
    pub fn with(mut self, meta: Option<&Meta>) -> Self {
        let Some(meta) = meta else { return self };
        let mut variables: BTreeMap<_, _> = meta.environment.iter().cloned().collect();
        variables.extend(self.environment);
        self.environment = variables.into_iter().collect();
        self.limits = self.limits.within(&meta.limits);
        for storage in self.storage.iter_mut().filter(|storage| storage.folders.iter().any(|kept| kept.guest == "/data")) {
            for name in &meta.kept_folders {
                let kept = Kept { inside: name.into(), guest: format!("/0/{name}") };
                if !storage.folders.contains(&kept) {
                    storage.folders.push(kept);
                }
            }
        }
        self
    }

    /// What an operator says of an application in this process, with its file's word beside it.
    #[must_use]
    pub fn beside(options: AppOptions, meta: Option<&Meta>) -> AppOptions {
        let Self { limits, storage, environment, tenant: _, isolation: _, strictness: _ } = Self::of(&options).with(meta);
        AppOptions { limits, storage, environment, ..options }
    }

    /// How it runs; `account` is its tenant's, `usage` its own.
    #[must_use]
    pub fn options(&self, account: Account, usage: Account) -> AppOptions {
        let mut options = AppOptions::new(TenantLog::counted(self.tenant.clone(), &self.limits, account));
        options.usage = usage;
        options.limits = self.limits.clone();
        options.isolation = self.isolation;
        options.strictness = self.strictness;
        options.storage.clone_from(&self.storage);
        options.environment.clone_from(&self.environment);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_word_stands_beside_what_its_operator_says_and_never_above_it() {
        let log = TenantLog::new(TenantId::new("a").unwrap(), &Limits::default());
        let mut operators = AppOptions::new(log);
        operators.environment = vec![("BOTH".to_owned(), "operator".to_owned())];
        operators.limits = Limits { memory_bytes: 64 << 20, guest_cpu_ms: 1_000, ..Limits::default() };
        operators.isolation = Isolation::Rewind;
        let text = r#"{"format":1,"name":"","source":"","inputs":"","builder":"","warnings":[],
            "environment":[["BOTH","file"],["OWN","file"]],"limits":{"memory":33554432,"guest_cpu":2000}}"#;
        let meta: Meta = serde_json::from_str(text).unwrap();
        let beside = Terms::beside(operators, Some(&meta));
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(beside.environment, [own("BOTH", "operator"), own("OWN", "file")]);
        assert_eq!((beside.limits.memory_bytes, beside.limits.guest_cpu_ms, beside.isolation), (32 << 20, 1_000, Isolation::Rewind));
    }
}

//! What the host keeps of an instance beside its memories is bounded, and its tenant's.

use std::{fs, path::Path};

use wasm_encoder::{ComponentSection, ConstExpr, GlobalSection, GlobalType, InstanceSection, Module, ModuleArg, ModuleSection, ValType};
use wasmparser::{Parser, Payload};

use crate::support::{Tenants, ended, guest, tenant_app, wait_for, wasgi};

/// The application of behaviours, with a module of so many globals beside it, and so many instances of that.
fn with_globals(globals: u32, instances: u32, file: &Path) {
    let mut component = fs::read(guest("behaviours")).unwrap();
    let is_module = |payload: &Payload<'_>| matches!(payload, Payload::ModuleSection { .. });
    let modules = Parser::new(0).parse_all(&component).filter(|payload| is_module(payload.as_ref().unwrap())).count();
    let mut section = GlobalSection::new();
    for _ in 0..globals {
        section.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(0));
    }
    let mut module = Module::new();
    module.section(&section);
    let mut made = InstanceSection::new();
    for _ in 0..instances {
        made.instantiate::<[(&str, ModuleArg); 0], _>(u32::try_from(modules).unwrap(), []);
    }
    append(&mut component, &ModuleSection(&module));
    append(&mut component, &made);
    fs::write(file, component).unwrap();
}

fn append(component: &mut Vec<u8>, section: &impl ComponentSection) {
    component.push(section.id());
    section.encode(component);
}

/// What the tenant has of each instance that waits for work.
fn idle_bytes(file: &Path) -> u64 {
    let app = tenant_app("a", file, "isolation = \"reuse\"\ncheck = \"/hello\"\nlimits.memory = \"2MiB\"");
    let host = Tenants::serving(&app);
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
    wait_for("no instance waits", || {
        let tenant = host.tenant("a");
        let [idle, all, bytes] = ["idle", "instances", "memory_bytes"].map(|name| tenant[name].as_u64().unwrap());
        (tenant["running"] == 0 && idle == all && idle > 0).then(|| bytes / idle)
    })
}

#[test]
fn what_the_host_keeps_of_an_instance_is_its_tenants_memory_under_and_at_the_limit_and_not_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let many = folder.path().join("many.wasm");
    with_globals(10_000, 10, &many);
    let (plain, whole) = (idle_bytes(&guest("behaviours")), idle_bytes(&many));
    // A global is kept in sixteen bytes.
    assert!((1_600_000..6_400_000).contains(&(whole - plain)), "{plain} {whole}");
    let host = |limit| {
        let tenant = format!("[[tenant]]\nname = \"a\"\nlimits.tenant_memory = {limit}\n");
        let app = tenant_app("a", &many, "check = \"/hello\"\nlimits.memory = \"2MiB\"");
        Tenants::serving(&format!("{tenant}{app}"))
    };
    assert_eq!([whole + 1, whole].map(|limit| host(limit).get("a.test", "/hello").code()), [200, 200], "{whole}");
    let over = host(whole - 1);
    assert_eq!(over.get("a.test", "/hello").code(), 404, "it is not served: it did not answer its first request");
    over.logged(&["a is not deployed", "it does not start: table minimum size"]);
}

#[test]
fn more_than_eight_mebibytes_are_kept_of_no_instance() {
    let folder = tempfile::tempdir().unwrap();
    let over = folder.path().join("over.wasm");
    with_globals(30_000, 20, &over);
    let ran = ended(wasgi().arg("serve").arg(&over).args(["--bind", "127.0.0.1:0"]));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && said.contains("the host would keep "), "{said}");
    assert!(said.contains(" bytes of each instance beside its memories; the limit is 8388608\nhint: its functions, globals"), "{said}");
}

//! Files of all kinds as built files, and bytes of all kinds as bundles: nothing panics, nothing lands outside of the folder.
#![no_main]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a part of the crate, included by path")]

#[path = "../../src/artifact/bundle.rs"]
mod bundle;
#[path = "../../src/artifact/sections.rs"]
mod sections;

/// What `bundle.rs` takes from the sandbox.
mod sandbox {
    pub struct Folder {
        pub host: std::path::PathBuf,
        pub guest: String,
    }
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let component = [b"\0asm\x0d\0\x01\0", bytes].concat();
    for file in [bytes, &component] {
        if let Ok(parts) = sections::parts(file) {
            assert!(parts.component.len() <= file.len());
            let _ = sections::summary(parts.component);
        }
    }
    let outer = tempfile::tempdir().expect("a folder");
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    let packed = zstd::encode_all(bytes, 1).expect("it packs");
    let _ = bundle::Bundle::unpack(&packed, &inner, 1 << 16);
    assert_eq!(std::fs::read_dir(outer.path()).expect("a folder").count(), 1);
});

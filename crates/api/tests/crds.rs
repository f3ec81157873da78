//! The files in `crds/` are what the types say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::{fs, path::PathBuf};

use api::{crd::crd, kinds::KINDS};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

/// Run with `UPDATE_CRDS=1` to write the files.
#[test]
fn crds_are_current() {
    let update = std::env::var_os("UPDATE_CRDS").is_some();
    let mut expected = Vec::new();
    for kind in KINDS {
        let file = format!("{}.yaml", kind.crd_name());
        let text = api::crd::yaml(&crd(kind).unwrap()).unwrap();
        let path = directory().join(&file);
        if update {
            fs::create_dir_all(directory()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "crds/{file} is not current; run UPDATE_CRDS=1 cargo test -p api --test crds");
        expected.push(file);
    }
    for entry in fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(expected.contains(&name), "crds/{name} belongs to no kind in the table; delete it");
    }
}

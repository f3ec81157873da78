//! The tests of k0s alone (`e2e/k0s-stand-in/integration`): controllers on sqlite and on etcd, in namespaces of their
//! own, with their refusals, restarts, joins and leaves. They run the genuine program if `K0S_BINARY` names one.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{k0s, repo, stand_in};

#[test]
fn k0s_alone_serves_refuses_joins_and_leaves_as_its_users_know_it() -> Result<()> {
    let mut go = Command::new("go");
    go.current_dir(repo::root().join("e2e/k0s-stand-in")).args([
        "test",
        "-tags=integration",
        "-count=1",
        "-timeout=15m",
        "-v",
        "./integration",
    ]);
    if std::env::var_os("K0S_BINARY").is_none_or(|path| path.is_empty()) {
        go.env("K0S_STANDIN_BUNDLE", stand_in::bundle(k0s::VERSION)?);
    }
    let status = go.status().context("cannot run go")?;
    ensure!(status.success(), "go test: {status}");
    Ok(())
}

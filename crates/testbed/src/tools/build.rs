//! Building, once for all processes of this machine, and putting results into place whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Tool;
use super::group::{Group, package};

/// Builds a tool at this path of the cache, unless another process did it meanwhile.
pub fn tool(tool: Tool, group: Group, path: &Path) -> Result<()> {
    once(path, |unfinished| {
        let start = Instant::now();
        eprintln!("tools: building {} ({})", tool.name(), super::group::version(group)?);
        match package(tool) {
            Some(package) => go(group, package, unfinished)?,
            None => pause(group, unfinished)?,
        }
        eprintln!("tools: built {} in {:.0} s", tool.name(), start.elapsed().as_secs_f64());
        Ok(())
    })
}

/// Copies parts of a group's module to this folder of the cache, unless another process did it meanwhile.
pub fn files(group: Group, parts: &[&str], path: &Path) -> Result<()> {
    once(path, |unfinished| {
        let module = module_dir(group)?;
        for part in parts {
            copy(&module.join(part), &unfinished.join(part))?;
        }
        Ok(())
    })
}

/// Runs `make` under the group's lock with a path beside the wanted one, and renames the result into place.
fn once(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = path.parent().context("a path in the cache")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let lock = File::create(parent.join(".lock"))?;
    lock.lock()?;
    if path.exists() {
        return Ok(());
    }
    let name = path.file_name().context("a path in the cache")?.to_string_lossy();
    let unfinished = parent.join(format!(".{name}.unfinished"));
    if unfinished.is_dir() {
        fs::remove_dir_all(&unfinished)?;
    }
    make(&unfinished)?;
    Ok(fs::rename(&unfinished, path)?)
}

fn go(group: Group, package: &str, out: &Path) -> Result<()> {
    let recipe = group.recipe()?;
    let mut command = Command::new("go");
    command
        .current_dir(group.dir())
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", recipe.tags])
        .args(["-ldflags", &recipe.link, "-o"])
        .args([out, Path::new(package)])
        .env("CGO_ENABLED", if recipe.cgo { "1" } else { "0" });
    run(isolate(&mut command)).map(drop)
}

/// Settings of the user's other Go work stay out.
fn isolate(command: &mut Command) -> &mut Command {
    command.env("GOWORK", "off").env("GOFLAGS", "").env("GO111MODULE", "on")
}

fn pause(group: Group, out: &Path) -> Result<()> {
    let source = module_dir(group)?.join("build/pause/linux/pause.c");
    run(Command::new("gcc").args(["-Os", "-static", "-o"]).args([out, &source])).map(drop)
}

/// Where the Go module cache has the group's module; downloads it if it has not.
fn module_dir(group: Group) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Module {
        #[serde(rename = "Dir")]
        dir: PathBuf,
    }
    let mut command = Command::new("go");
    command.current_dir(group.dir()).args(["mod", "download", "-json", group.module()]);
    let out = run(isolate(&mut command))?;
    Ok(serde_json::from_slice::<Module>(&out)?.dir)
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.output().with_context(|| format!("run {program}: is it installed?"))?;
    if !out.status.success() {
        bail!("{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    Ok(out.stdout)
}

/// The Go module cache is read-only; what is copied from it must not be, or it could not be removed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)?.flatten() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(to, fs::read(from).with_context(|| from.display().to_string())?)?;
    }
    Ok(())
}

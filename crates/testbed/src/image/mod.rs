//! Container images made by hand: one layer, written as an OCI layout in a tar file that `ctr` imports.

mod layout;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::run::run;
use crate::tools::{self, Tool};
use layout::{architecture, blob, blob_file, described, lay, shared_libraries, tar};

/// The image that holds pods' namespaces.
pub const PAUSE: &str = "testbed.local/pause:1";
/// A shell and its friends. Debian's busybox 1.35: `wget -T` crashes, `nslookup` ignores the search list.
pub const BUSYBOX: &str = "testbed.local/busybox:1";

/// The [`PAUSE`] image as a file.
pub fn pause() -> Result<PathBuf> {
    let program = tools::path(Tool::Pause)?;
    ImageBuilder::new(PAUSE)
        .file(&program, "/pause", 0o755)
        .entrypoint(["/pause"])
        .user("65535:65535")
        .build_cached()
}

/// The [`BUSYBOX`] image as a file; needs Debian's busybox-static.
pub fn busybox() -> Result<PathBuf> {
    let program = Path::new("/bin/busybox");
    let mut image = ImageBuilder::new(BUSYBOX).file(program, "/bin/busybox", 0o755).entrypoint(["/bin/sh"]);
    for applet in run(program, &["--list"])?.lines().filter(|&applet| applet != "busybox") {
        image = image.symlink("/bin/busybox", &format!("/bin/{applet}"));
    }
    image.directory("/tmp", 0o1777).build_cached()
}

#[derive(Clone, Debug)]
enum Entry {
    File { host: PathBuf, mode: u32 },
    Text { text: String, mode: u32 },
    Symlink { target: String },
    Directory { mode: u32 },
}

/// An image to be made.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    name: String,
    entries: BTreeMap<String, Entry>,
    libraries_of: Vec<PathBuf>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    environment: Vec<String>,
    user: String,
    directory: String,
}

impl ImageBuilder {
    /// An empty image of this name and tag.
    pub fn new(name: &str) -> Self {
        Self {
            name: full_name(name),
            entries: BTreeMap::new(),
            libraries_of: Vec::new(),
            entrypoint: Vec::new(),
            command: Vec::new(),
            environment: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            user: String::new(),
            directory: String::new(),
        }
    }

    fn entry(mut self, path: &str, entry: Entry) -> Self {
        self.entries.insert(path.trim_start_matches('/').to_owned(), entry);
        self
    }

    /// A file of this machine.
    #[must_use]
    pub fn file(self, host: &Path, path: &str, mode: u32) -> Self {
        self.entry(path, Entry::File { host: host.to_owned(), mode })
    }

    /// A file with this content.
    #[must_use]
    pub fn text(self, path: &str, text: &str, mode: u32) -> Self {
        self.entry(path, Entry::Text { text: text.to_owned(), mode })
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, target: &str, path: &str) -> Self {
        self.entry(path, Entry::Symlink { target: target.to_owned() })
    }

    /// A directory, for one that is to be empty or of a special mode.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, Entry::Directory { mode })
    }

    /// The shared libraries and the loader that a program of this machine needs, at the same paths; none if it is
    /// static.
    #[must_use]
    pub fn with_shared_libs(mut self, program: &Path) -> Self {
        self.libraries_of.push(program.to_owned());
        self
    }

    /// A program of this machine with its libraries.
    #[must_use]
    pub fn program(self, host: &Path, path: &str) -> Self {
        self.file(host, path, 0o755).with_shared_libs(host)
    }

    /// What is run.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Its arguments unless a pod says others.
    #[must_use]
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// Who runs it, e.g. `65532:65532`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Where it is run.
    #[must_use]
    pub fn working_directory(mut self, directory: &str) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Makes it in the cache folder, unless it is there already from the same files.
    pub fn build_cached(self) -> Result<PathBuf> {
        let dir = tools::cache_dir()?.join("images");
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.tar", self.name.replace(['/', ':'], "_")));
        let made_from = self.made_from()?;
        let note = path.with_extension("from");
        if path.exists() && fs::read_to_string(&note).is_ok_and(|noted| noted == made_from) {
            return Ok(path);
        }
        let unfinished = tempfile::NamedTempFile::new_in(&dir)?;
        self.build(unfinished.path())?;
        let _ = fs::remove_file(&note);
        unfinished.persist(&path)?;
        fs::write(note, made_from)?;
        Ok(path)
    }

    /// Everything that the content depends on: this description, and size and time of the files it names.
    fn made_from(&self) -> Result<String> {
        let mut text = format!("{self:#?}\n");
        for entry in self.entries.values() {
            if let Entry::File { host, .. } = entry {
                let metadata = fs::metadata(host).with_context(|| host.display().to_string())?;
                writeln!(text, "{} {} {:?}", host.display(), metadata.len(), metadata.modified()?)?;
            }
        }
        Ok(text)
    }

    /// Writes the tar file.
    pub fn build(mut self, path: &Path) -> Result<()> {
        for program in std::mem::take(&mut self.libraries_of) {
            for library in shared_libraries(&program)? {
                let at = library.to_string_lossy().into_owned();
                self = self.file(&library, &at, 0o755);
            }
        }
        let work = tempfile::tempdir()?;
        let root = work.path().join("root");
        fs::create_dir(&root)?;
        for (name, entry) in &self.entries {
            lay(&root.join(name), entry).with_context(|| format!("/{name} of image {}", self.name))?;
        }
        let layer = work.path().join("layer.tar");
        tar(&root, &layer)?;
        let layout = work.path().join("layout");
        let layer = blob_file(&layout, &layer)?;
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint, "Cmd": self.command, "Env": self.environment,
                "User": self.user, "WorkingDir": self.directory,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created_by": "testbed"}],
        });
        let config = blob(&layout, &serde_json::to_vec(&config)?)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described(&config, "application/vnd.oci.image.config.v1+json"),
            "layers": [described(&layer, "application/vnd.oci.image.layer.v1.tar")],
        });
        let manifest = blob(&layout, &serde_json::to_vec(&manifest)?)?;
        let mut manifest = described(&manifest, "application/vnd.oci.image.manifest.v1+json");
        manifest["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": self.name.rsplit(':').next(),
        });
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar(&layout, path)
    }
}

/// The name as containerd keeps it: `busybox:1` is `docker.io/library/busybox:1` to the kubelet.
pub fn full_name(name: &str) -> String {
    let name = if name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        name.to_owned()
    } else {
        format!("{name}:latest")
    };
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host == "localhost" || host.contains(['.', ':']) => name,
        Some(_) => format!("docker.io/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::Value;

    use super::*;
    use crate::run::output;

    #[test]
    fn a_name_is_completed_as_the_kubelet_completes_it() {
        assert_eq!(full_name("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full_name("k0sproject/k0s:v1"), "docker.io/k0sproject/k0s:v1");
        assert_eq!(full_name("testbed.local/pause:1"), "testbed.local/pause:1");
        assert_eq!(full_name("localhost:5000/a"), "localhost:5000/a:latest");
    }

    #[test]
    fn an_image_has_the_program_its_libraries_and_the_same_bytes_each_time() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let make = |name: &str| {
            let path = dir.path().join(name);
            let image = ImageBuilder::new("a/b:1").program(Path::new("/bin/ls"), "/ls").entrypoint(["/ls"]);
            image.build(&path).map(|()| path)
        };
        let (one, two) = (make("one")?, make("two")?);
        assert_eq!(fs::read(&one)?, fs::read(two)?);
        let unpacked = dir.path().join("unpacked");
        fs::create_dir(&unpacked)?;
        output(Command::new("tar").arg("-C").arg(&unpacked).arg("-xf").arg(one))?;
        let index: Value = serde_json::from_slice(&fs::read(unpacked.join("index.json"))?)?;
        let read = |described: &Value| -> Result<Vec<u8>> {
            let digest = described["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
            Ok(fs::read(unpacked.join("blobs/sha256").join(digest))?)
        };
        let manifest: Value = serde_json::from_slice(&read(&index["manifests"][0])?)?;
        let layer = dir.path().join("layer.tar");
        fs::write(&layer, read(&manifest["layers"][0])?)?;
        let listed = output(Command::new("tar").arg("-tf").arg(layer))?;
        assert!(listed.contains("./ls\n") && listed.contains("libc.so.6"), "{listed}");
        Ok(())
    }
}

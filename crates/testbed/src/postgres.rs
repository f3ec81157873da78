//! A PostgreSQL of the test's own, of Debian's package, with its data in a folder of the test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::process::{Life, Process, Program};
use crate::run::run;

/// Where Debian has its versions.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The owner of the instance, and of its databases.
const USER: &str = "k0s";
/// In the instance's network only, and only while it runs.
const PASSWORD: &str = "a-test-of-k0smotron";

/// A running instance. It ends, and its data go, when this value is dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: PathBuf,
    folder: PathBuf,
    address: String,
    port: u16,
}

impl Postgres {
    /// Starts an instance at an address of this machine, open to the networks given; installs PostgreSQL if it is
    /// missing. Its log and pid file are in `dir`, so that who cleans `dir` finds it.
    pub async fn start(dir: &Path, address: &str, port: u16, networks: &[&str]) -> Result<Self> {
        let programs = install()?;
        // PostgreSQL refuses to run as root, and makes its folder itself if it may.
        let folder = dir.join("postgres");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let data = folder.join("data").display().to_string();
        let password = folder.join("password");
        fs::write(&password, PASSWORD)?;
        run("chown", &["-R", "postgres:postgres", &folder.display().to_string()])?;
        let initdb = programs.join("initdb").display().to_string();
        let password = format!("--pwfile={}", password.display());
        let user = format!("--username={USER}");
        let auth = "--auth=scram-sha-256";
        run(
            "setpriv",
            &[&AS_POSTGRES[..], &[&initdb, "--no-sync", "-D", &data, &user, &password, auth]].concat(),
        )?;
        let open: Vec<_> =
            networks.iter().map(|network| format!("host all all {network} scram-sha-256\n")).collect();
        let rules = folder.join("data/pg_hba.conf");
        let known = fs::read_to_string(&rules).with_context(|| rules.display().to_string())?;
        fs::write(&rules, known + &open.concat())?;
        let process = Program::new("postgres", Path::new("setpriv"), Life::OnItsOwn)
            .args(AS_POSTGRES)
            .args([programs.join("postgres")])
            .args(["-D", &data, "-p", &port.to_string(), "-h", address])
            // No socket in the machine's folders; nothing of it outlives the test, so nothing need reach the disk.
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-c", "dynamic_shared_memory_type=mmap"])
            .start(dir)?;
        let instance = Self { process, programs, folder, address: address.to_owned(), port };
        instance.answers().await?;
        Ok(instance)
    }

    /// The address of a database as kine takes it; kine makes the database.
    pub fn data_source(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}:{}/{database}?sslmode=disable", self.address, self.port)
    }

    async fn answers(&self) -> Result<()> {
        let began = Instant::now();
        let port = self.port.to_string();
        while run(self.programs.join("pg_isready"), &["-h", &self.address, "-p", &port]).is_err() {
            self.process.check()?;
            if began.elapsed() > Duration::from_secs(30) {
                bail!("PostgreSQL does not answer at {}:{port}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, whoever is connected, and without leaving shared memory behind, as SIGKILL would.
        let control = self.programs.join("pg_ctl").display().to_string();
        let data = self.folder.join("data").display().to_string();
        let stop = [&AS_POSTGRES[..], &[&control, "stop", "-m", "immediate", "-D", &data]].concat();
        if let Err(error) = run("setpriv", &stop) {
            eprintln!("testbed: {error:#}");
        }
        self.process.stop(Duration::from_secs(5));
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("testbed: removing {}: {error}", self.folder.display());
        }
    }
}

/// A program as the user whom the package makes.
const AS_POSTGRES: [&str; 4] = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--"];

/// The folder of its programs. The instance that the package makes and starts for the machine is not wanted.
fn install() -> Result<PathBuf> {
    let newest = || {
        let found = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
        let with_server = found.filter(|entry| entry.path().join("bin/postgres").exists());
        with_server.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max()
    };
    if newest().is_none() {
        debian::ensure(&["postgresql"])?;
        if let Some(version) = newest() {
            run("pg_dropcluster", &["--stop", &version.to_string(), "main"])?;
        }
    }
    let version = newest().context("package postgresql has no server")?;
    Ok(Path::new(VERSIONS).join(version.to_string()).join("bin"))
}

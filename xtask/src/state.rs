//! The state folder (`.artel/` unless told otherwise): everything a running mesh keeps on this machine.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A guard needs at most this long.
const CLEANING_UP: Duration = Duration::from_secs(30);

/// One state folder: data, logs, pids, secrets and generated configuration of one set of components.
#[derive(Debug, Clone)]
pub struct State {
    root: PathBuf,
}

/// Held by the one process that owns a state folder; given back when that process ends, however it ends.
#[derive(Debug)]
pub struct Ownership {
    _file: File,
}

impl State {
    /// Opens the folder, making it and its parts where they are missing.
    pub fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let root = path.canonicalize()?;
        let state = Self { root };
        for part in ["data", "logs", "run", "config", "secrets"] {
            fs::create_dir_all(state.root.join(part))?;
        }
        fs::set_permissions(state.root.join("secrets"), fs::Permissions::from_mode(0o700))?;
        Ok(state)
    }

    /// The folder, if something has been started there before.
    pub fn existing(path: &Path) -> Result<Self> {
        if !path.join("run").is_dir() {
            bail!(
                "nothing has been started in {} yet: `cargo xtask up` does that (or name another folder with --state)",
                path.display()
            );
        }
        Ok(Self { root: path.canonicalize()? })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `data/NAME`, made where it is missing.
    pub fn data(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join("data").join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// The certificates of HTTPS.
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// A generated configuration file.
    pub fn config(&self, name: &str) -> PathBuf {
        self.root.join("config").join(name)
    }

    /// Where the mesh is reached, for scripts.
    pub fn endpoints(&self) -> PathBuf {
        self.root.join("endpoints.json")
    }

    /// The configuration handed to `artel`.
    pub fn artel_toml(&self) -> PathBuf {
        self.root.join("artel.toml")
    }

    /// `export` lines for running single crates' tests by hand.
    pub fn test_env(&self) -> PathBuf {
        self.root.join("test.env")
    }

    /// Exists while everything that was asked for is healthy.
    pub fn ready_marker(&self) -> PathBuf {
        self.run().join("ready")
    }

    fn owner_pid_file(&self) -> PathBuf {
        self.run().join("xtask.pid")
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// Another `up` or `components` holds it.
    pub fn own(&self) -> Result<Ownership> {
        self.settle();
        self.try_own()
    }

    /// [`Self::own`] without waiting for a guard.
    pub fn try_own(&self) -> Result<Ownership> {
        let file = self.lock_file()?;
        if file.try_lock().is_err() {
            bail!(
                "{} is in use by process {}: `cargo xtask down` stops it, `cargo xtask status` shows it",
                self.root.display(),
                self.owner().map_or_else(|| "?".to_owned(), |pid| pid.to_string())
            );
        }
        fs::write(self.owner_pid_file(), format!("{}\n", std::process::id()))?;
        Ok(Ownership { _file: file })
    }

    /// Lets a guard that cleans up after a killed owner come to its end: a matter of seconds.
    pub fn settle(&self) {
        let end = Instant::now() + CLEANING_UP;
        while self.owner().is_some_and(is_guard) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process that holds the folder, if one does.
    pub fn owner(&self) -> Option<i32> {
        let file = self.lock_file().ok()?;
        if file.try_lock().is_ok() {
            return None;
        }
        fs::read_to_string(self.owner_pid_file()).ok()?.trim().parse().ok()
    }

    /// Waits until nobody holds the folder. False when the time is over.
    pub fn wait_until_free(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.owner().is_some() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    fn lock_file(&self) -> Result<File> {
        let path = self.run().join("xtask.lock");
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

fn is_guard(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == b"guard")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner() {
        let dir = std::env::temp_dir().join(format!("artel-state-{}", std::process::id()));
        let state = State::open(&dir).unwrap();
        assert_eq!(state.owner(), None);
        let held = state.own().unwrap();
        assert_eq!(state.owner(), Some(i32::try_from(std::process::id()).unwrap()));
        assert!(state.own().unwrap_err().to_string().contains("in use"));
        drop(held);
        assert!(state.wait_until_free(Duration::from_secs(1)));
        fs::remove_dir_all(&dir).unwrap();
    }
}

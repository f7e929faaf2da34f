//! The configuration while the process runs: each section followed in Consul's KV, what is good and live taken, what is
//! bad refused aloud.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use artel_config::{Config, Error, Overrides, PREFIX, Running, Shape, Taken};
use artel_discovery::{Consul, Entries, Entry};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a process that starts waits for Consul before it goes on with the file alone.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// A section of the configuration as it is now. Cheap to clone; look at it anew for each piece of work.
pub struct Live<T>(watch::Receiver<Arc<T>>);

impl<T> Live<T> {
    /// A section that never changes: for tests.
    #[must_use]
    pub fn fixed(section: T) -> Self {
        Self(watch::channel(Arc::new(section)).1)
    }

    /// The section as it is now: hold it for a piece of work that must see one state of it.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for the next change; never ends where there can be none any more.
    pub async fn changed(&mut self) -> Arc<T> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.0.borrow_and_update())
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(out)
    }
}

/// What a process took of what Consul says about a section; others see it in the service's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// The version taken.
    pub(crate) taken: String,
    /// The version refused since then.
    pub(crate) refused: Option<String>,
    /// Keys that wait for a restart.
    pub(crate) after_restart: Vec<String>,
}

/// The versions of all sections of a process.
pub(crate) type Versions = BTreeMap<&'static str, Version>;

/// The layers of a process' configuration.
pub(crate) struct Settings {
    config: Config,
    /// `None` where nobody sets anything: in tests, and in commands.
    entries: Option<Entries>,
    versions: watch::Sender<Versions>,
    draining: CancellationToken,
}

impl Settings {
    /// The file and the environment alone.
    pub(crate) fn fixed(config: Config, draining: CancellationToken) -> Self {
        Self { config, entries: None, versions: watch::Sender::default(), draining }
    }

    /// With what Consul says, if it answers soon; else from the moment it does.
    pub(crate) async fn follow(config: Config, consul: &Consul, draining: CancellationToken) -> Self {
        let mut entries = consul.watch_entries(PREFIX);
        let _ = tokio::time::timeout(FIRST_ANSWER, entries.wait_for(Option::is_some)).await;
        Self { entries: Some(entries), ..Self::fixed(config, draining) }
    }

    /// False while Consul has not answered yet.
    pub(crate) fn known(&self) -> bool {
        self.entries.as_ref().is_none_or(|entries| entries.borrow().is_some())
    }

    /// What was taken, as it changes.
    pub(crate) fn versions(&self) -> watch::Receiver<Versions> {
        self.versions.subscribe()
    }

    /// A section as it is at the start; what changes later is looked at and takes effect after a restart.
    pub(crate) fn once<T>(&self, name: &'static str, shape: Shape) -> Result<T, Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let (running, section, seen) = self.start(name, shape)?;
        self.spawn::<T>(name, running, seen, |_| {});
        Ok(section)
    }

    /// A section that changes while the process runs.
    pub(crate) fn live<T>(&self, name: &'static str, shape: Shape) -> Result<Live<T>, Error>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let (running, section, seen) = self.start(name, shape)?;
        let (sender, receiver) = watch::channel(Arc::new(section));
        self.spawn(name, running, seen, move |section| drop(sender.send_replace(Arc::new(section))));
        Ok(Live(receiver))
    }

    /// The section, and the version of it that was looked at.
    fn start<T: DeserializeOwned>(
        &self,
        name: &'static str,
        shape: Shape,
    ) -> Result<(Running<T>, T, String), Error> {
        let overrides = read(self.entries.as_ref().and_then(|entries| entries.borrow().clone()));
        let (running, section, refused) = Running::start(self.config.clone(), name, shape, &overrides)?;
        let version = overrides.version(name);
        match refused {
            None => {
                let taken = Version { taken: version.clone(), ..Version::default() };
                self.versions.send_modify(|versions| drop(versions.insert(name, taken)));
            }
            Some(error) => refuse(&self.versions, name, &version, &error),
        }
        Ok((running, section, version))
    }

    fn spawn<T: DeserializeOwned + Send + 'static>(
        &self,
        name: &'static str,
        mut running: Running<T>,
        mut seen: String,
        set: impl Fn(T) + Send + 'static,
    ) {
        let Some(mut entries) = self.entries.clone() else { return };
        let (versions, draining) = (self.versions.clone(), self.draining.clone());
        tokio::spawn(async move {
            loop {
                let overrides = read(entries.borrow_and_update().clone());
                let version = overrides.version(name);
                if version != seen {
                    match running.take(&overrides) {
                        Ok(taken) => take(&versions, name, &version, taken, &set),
                        Err(error) => refuse(&versions, name, &version, &error),
                    }
                    seen = version;
                }
                tokio::select! {
                    () = draining.cancelled() => return,
                    changed = entries.changed() => if changed.is_err() { return },
                }
            }
        });
    }
}

fn read(entries: Option<Arc<[Entry]>>) -> Overrides {
    let entries = entries.as_deref().unwrap_or_default();
    Overrides::read(entries.iter().map(|entry| (entry.key.as_str(), entry.text.as_str(), entry.index)))
}

/// Puts a change that is good into effect, as far as it can be without a restart.
fn take<T>(
    versions: &watch::Sender<Versions>,
    name: &'static str,
    version: &str,
    taken: Taken<T>,
    set: impl Fn(T),
) {
    let Taken { section, changed, after_restart } = taken;
    if let Some(section) = section {
        set(section);
    }
    tracing::info!(section = name, version, changed = changed.join(", "), "configuration taken");
    if !after_restart.is_empty() {
        tracing::warn!(
            section = name,
            version,
            keys = after_restart.join(", "),
            "takes effect after a restart"
        );
    }
    metrics::gauge!("artel_config_restart_pending", "section" => name).set(after_restart.len() as f64);
    let taken = Version { taken: version.to_owned(), refused: None, after_restart };
    versions.send_modify(|versions| drop(versions.insert(name, taken)));
}

/// Says aloud that a change is bad. What was there stays.
fn refuse(versions: &watch::Sender<Versions>, name: &'static str, version: &str, error: &Error) {
    tracing::error!(section = name, version, %error, "configuration refused; the old one stays");
    metrics::counter!("artel_config_refused_total", "section" => name).increment(1);
    versions.send_modify(|versions| {
        let old = versions.entry(name).or_insert_with(|| Version { taken: "0".into(), ..Version::default() });
        old.refused = Some(version.to_owned());
    });
}

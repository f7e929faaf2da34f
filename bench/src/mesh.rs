//! Services of the mesh, started by a figure: `artel` itself, as in production, over the components' real addresses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use artel_client::{Call, CallKey, Channels};
use artel_discovery::Consul;

use crate::cpu::Watched;
use crate::places::Places;
use crate::process::Process;
use crate::store::WORKSPACE;

/// How long services may take until Consul says that they are well.
const HEALTHY: Duration = Duration::from_secs(60);
/// How often Consul is asked.
const LOOK: Duration = Duration::from_millis(10);

/// Every service there is, as `cargo xtask bench` knows them.
pub fn services() -> Result<Vec<String>> {
    let names = std::env::var("ARTEL_BENCH_SERVICES");
    let names = names.context("no services: start this through `cargo xtask bench`")?;
    Ok(names.split(',').map(str::to_owned).collect())
}

/// Services that run.
pub struct Mesh {
    /// Where everything is.
    pub places: Places,
    consul: Consul,
    key: CallKey,
    processes: Vec<(String, Process)>,
}

impl Mesh {
    /// A mesh without services, over a database that is migrated.
    pub async fn new(places: Places) -> Result<Self> {
        let secret = std::fs::read_to_string(&places.mesh_key_file)?;
        crate::store::migrate(&places).await?;
        let consul = Consul::new(&places.consul)?;
        // What an earlier figure left, killed as it may be, passes until Consul has looked.
        let end = Instant::now() + HEALTHY;
        for service in services()? {
            while !consul.instances(&service).await?.is_empty() {
                anyhow::ensure!(Instant::now() < end, "somebody else runs `{service}` beside the figures");
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(Self { consul, key: CallKey::new(secret.trim())?, places, processes: Vec::new() })
    }

    /// Starts `artel serve` of these services as a process of that name; does not wait.
    pub fn serve(&mut self, name: &str, services: &[&str], more: &[(&'static str, String)]) -> Result<u32> {
        let artel = std::env::var_os("ARTEL_BENCH_ARTEL").map(PathBuf::from);
        let artel = artel.context("no artel binary: start this through `cargo xtask bench`")?;
        let args: Vec<&str> = std::iter::once("serve").chain(services.iter().copied()).collect();
        let process = Process::start(name, &artel, &args, &self.variables(more), &self.logs())?;
        Ok(self.add(name, process))
    }

    /// Starts this program in another role as a process of that name; does not wait.
    pub fn role(&mut self, name: &str, args: &[&str], more: &[(&'static str, String)]) -> Result<u32> {
        let args: Vec<&str> = std::iter::once("role").chain(args.iter().copied()).collect();
        let process = Process::ourselves(name, &args, &self.variables(more), &self.logs())?;
        Ok(self.add(name, process))
    }

    fn add(&mut self, name: &str, process: Process) -> u32 {
        let pid = process.pid();
        self.processes.push((name.to_owned(), process));
        pid
    }

    /// A process for each service.
    pub async fn serve_each(
        &mut self,
        services: &[impl AsRef<str>],
        more: &[(&'static str, String)],
    ) -> Result<()> {
        for service in services.iter().map(AsRef::as_ref) {
            self.serve(service, &[service], more)?;
        }
        self.passing(services, 1).await.map(drop)
    }

    /// Waits until so many copies of each pass; the moment of the last.
    pub async fn passing(&mut self, services: &[impl AsRef<str>], copies: usize) -> Result<Instant> {
        let end = Instant::now() + HEALTHY;
        for service in services.iter().map(AsRef::as_ref) {
            while self.consul.instances(service).await.map_or(0, |found| found.len()) < copies {
                for (name, process) in &mut self.processes {
                    process.alive().with_context(|| format!("while `{name}` starts"))?;
                }
                if Instant::now() > end {
                    bail!(
                        "Consul does not say that {copies} of `{service}` pass; logs: {}",
                        self.logs().display()
                    );
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(Instant::now())
    }

    /// Where a copy of a service listens.
    pub async fn address(&self, service: &str) -> Result<SocketAddr> {
        let found = self.consul.instances(service).await?;
        Ok(found.first().with_context(|| format!("nobody runs `{service}`"))?.address)
    }

    /// The number of a process.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let found = self.processes.iter().find(|(process, _)| process == name);
        found.map(|(_, process)| process.pid()).with_context(|| format!("no process `{name}`"))
    }

    /// Every process that was started here.
    pub fn watched(&self) -> Vec<Watched> {
        self.processes.iter().map(|(name, process)| Watched::tree(name, process.pid())).collect()
    }

    /// A component, as the table calls it, by its process.
    pub fn component(&self, name: &str, process: &str) -> Result<Watched> {
        Ok(Watched::tree(name, self.places.pid(process)?))
    }

    /// Kills a process without a word.
    pub async fn kill(&mut self, name: &str) -> Result<()> {
        self.take(name)?.kill().await
    }

    /// Ends a process in order, and waits for it.
    pub async fn stop(&mut self, name: &str) -> Result<()> {
        self.take(name)?.stop().await
    }

    /// Ends all of them in order.
    pub async fn end(mut self) -> Result<()> {
        while let Some((_, process)) = self.processes.pop() {
            process.stop().await?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<Process> {
        let at = self.processes.iter().position(|(process, _)| process == name);
        Ok(self.processes.remove(at.with_context(|| format!("no process `{name}`"))?).1)
    }

    /// Channels to the services as one of them.
    pub fn channels(&self, service: &str) -> Channels {
        Channels::new(service, self.consul.clone(), self.key.clone())
    }

    /// A call of a service.
    pub fn call(service: &str) -> Call {
        Call::by_service(service, WORKSPACE)
    }

    /// Where processes write.
    pub fn logs(&self) -> PathBuf {
        self.places.state.join("logs")
    }

    fn variables(&self, more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
        let own = [
            ("ARTEL_CONFIG", self.places.config.display().to_string()),
            ("ARTEL_MESH__LOG", "warn".to_owned()),
        ];
        own.into_iter().chain(more.iter().cloned()).collect()
    }
}

//! B9: what the services take when nobody calls them, all in one process and a process each, and how long they take from
//! cold until Consul says that all are well. The components run already.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::figures::Setting;
use crate::memory::Memory;
use crate::mesh::{Mesh, services};
use crate::report::{Outcome, Verdict};
use crate::rounds::median;

/// How long the services are left alone before it is looked what they hold.
const IDLE: Duration = Duration::from_secs(5);

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let (mut starts, mut together, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    let (mut notes, services) = (Vec::new(), services()?);
    for round in 0..=setting.plan.rounds {
        let mut mesh = Mesh::new(setting.places()?).await?;
        let begin = Instant::now();
        mesh.serve("artel", &["all"], &[])?;
        let took = (mesh.passing(&services, 1).await? - begin).as_secs_f64();
        tokio::time::sleep(IDLE).await;
        let memory = Memory::of(mesh.pid("artel")?)?;
        println!("  B9  {round}: healthy after {took:.2} s, {:.1} MB resident", memory.resident);
        if round > 0 {
            starts.push(took);
            together.push(memory.resident);
        }
        mesh.end().await?;
    }
    let mut mesh = Mesh::new(setting.places()?).await?;
    mesh.serve_each(&services, &[]).await?;
    tokio::time::sleep(IDLE).await;
    let mut proportional = 0.0;
    for service in &services {
        let memory = Memory::of(mesh.pid(service)?)?;
        println!("  B9  {service}: {:.1} MB resident", memory.resident);
        notes.push(format!("{service} alone: {:.1} MB resident", memory.resident));
        apart.push(memory.resident);
        proportional += memory.proportional;
    }
    mesh.end().await?;
    notes.push(format!("a process each, what they share counted once: {proportional:.1} MB"));
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_most("all services in one process, idle", " MB", median(together), 80.0),
            Verdict::at_most("a process each, idle, sum", " MB", apart.iter().sum(), 400.0),
            Verdict::at_most("cold start until Consul says all are well", " s", median(starts), 2.0),
        ],
        sets: Vec::new(),
        notes,
    })
}

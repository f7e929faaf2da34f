//! compose.yaml, checked without a Docker engine: against the Compose schema, and against what the mesh
//! needs: every service, with a health check, a memory limit, what it waits for, and all that it mounts.
//!
//! The schema comes from Docker's own Python package at test time, and a validator for it from another.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::heading;
use crate::artel::{self, services};
use crate::commands::compose;
use crate::install;
use crate::install::wheel::Wheel;
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::state::State;

const SCHEMA: Wheel = Wheel {
    package: "docker-compose",
    version: "1.29.2",
    sha256: "8d5589373b35c8d3b1c8c1182c6e4a4ff14bffa3dd0b605fcd08f73c94cef809",
    content: "compose/config/compose_spec.json",
};
const VALIDATOR: Wheel = Wheel {
    package: "fastjsonschema",
    version: "2.22.3",
    sha256: "f670b443830b75aca3f00b75949efa20f4b2a80302ec7a21505c28dd54cffd43",
    content: "fastjsonschema",
};
const VALIDATE: &str = "import json, sys; sys.path.insert(0, sys.argv[1]); import fastjsonschema
schema = json.load(open(sys.argv[2]))
# The draft that it names is 2019-09; it uses nothing that draft 7 lacks, which the validator knows.
schema['$schema'] = 'http://json-schema.org/draft-07/schema#'
def plain(node):
    if isinstance(node, dict):
        return {k: plain(v) for k, v in node.items() if not (k in ('id', '$id') and isinstance(v, str))}
    return [plain(v) for v in node] if isinstance(node, list) else node
try:
    fastjsonschema.compile(plain(schema))(json.load(open(sys.argv[3])))
except fastjsonschema.JsonSchemaException as error:
    sys.exit(f'{error}')
";
/// Where the generated files are, as compose.yaml writes it.
const GENERATED: &str = "${ARTEL_COMPOSE:-./.artel/compose}/";

pub fn run() -> Result<()> {
    heading("compose.yaml: the Compose schema, and what the mesh needs");
    let root = artel::root();
    let compose = read(&std::fs::read_to_string(root.join("compose.yaml"))?)?;
    let progress = Progress::new();
    for wheel in [&SCHEMA, &VALIDATOR] {
        if wheel.find().is_none() {
            let step = progress.step("schema", wheel.package);
            wheel.install()?;
            step.done(wheel.version);
        }
    }
    let folder = std::env::temp_dir().join(format!("artel-compose-{}", std::process::id()));
    let state = State::open(&folder)?;
    let checked = schema(&compose, &folder).and_then(|()| {
        compose::write(&folder.join("compose"), &Secrets::of(&state))?;
        let mut wrong = structure(&compose, &root, &folder.join("compose"));
        wrong.extend(image(&std::fs::read_to_string(root.join("Dockerfile"))?));
        if !wrong.is_empty() {
            bail!("compose.yaml:\n  {}", wrong.join("\n  "));
        }
        Ok(())
    });
    std::fs::remove_dir_all(&folder)?;
    checked?;
    tell!("    ok");
    Ok(())
}

/// YAML with its anchors and `<<` resolved, as Compose does it.
fn read(text: &str) -> Result<Value> {
    let mut yaml: serde_norway::Value = serde_norway::from_str(text).context("compose.yaml")?;
    // A merge inside what is merged needs another round.
    for _ in 0..4 {
        yaml.apply_merge().context("compose.yaml: a merge")?;
    }
    Ok(serde_json::to_value(yaml)?)
}

fn schema(compose: &Value, folder: &Path) -> Result<()> {
    let file = folder.join("compose.json");
    std::fs::write(&file, serde_json::to_string(compose)?)?;
    let (validator, schema) = (VALIDATOR.find(), SCHEMA.find());
    let validator = validator.as_deref().and_then(Path::parent).context("no validator")?;
    let mut python = Command::new("python3");
    python.args(["-c", VALIDATE]).arg(validator).arg(schema.context("no schema")?).arg(file);
    let output = python.output().context("python3")?;
    if !output.status.success() {
        bail!("compose.yaml against the schema: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// What is wrong, a line each.
fn structure(compose: &Value, root: &Path, generated: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let empty = Map::new();
    let all = compose["services"].as_object().unwrap_or(&empty);
    let image = &all.get("persist").unwrap_or(&Value::Null)["image"];
    for service in services() {
        let Some(it) = all.get(service) else {
            wrong.push(format!("the service {service} is missing"));
            continue;
        };
        if it["command"] != serde_json::json!(["serve", service]) {
            wrong.push(format!("{service}: its command is {}, not [serve, {service}]", it["command"]));
        }
        if it["image"] != *image {
            wrong.push(format!("{service}: it has another image than persist"));
        }
        if it["depends_on"]["consul"]["condition"] != "service_healthy" {
            wrong.push(format!("{service}: it doesn't wait for Consul"));
        }
        if !secrets(it).any(|(source, target)| source == format!("{service}.toml") && target == "artel.toml")
        {
            wrong.push(format!("{service}: it doesn't get {service}.toml as its configuration"));
        }
    }
    for (name, it) in all {
        let once =
            it["command"] == serde_json::json!(["migrate"]) || ["roles", "operator"].contains(&name.as_str());
        if !once && it["healthcheck"]["test"].is_null() {
            wrong.push(format!("{name}: no health check"));
        }
        if it["mem_limit"].as_str().is_none() {
            wrong.push(format!("{name}: no memory limit"));
        }
        for (other, how) in it["depends_on"].as_object().into_iter().flatten() {
            match all.get(other) {
                None => wrong.push(format!("{name}: it waits for {other}, which is not there")),
                Some(other_it) if how["condition"] == "service_healthy" => {
                    if other_it["healthcheck"]["test"].is_null() {
                        wrong.push(format!("{name}: it waits for the health of {other}, which has no check"));
                    }
                }
                Some(_) if how["condition"] == "service_completed_successfully" => {}
                Some(_) => wrong.push(format!("{name}: it waits for {other} without a condition")),
            }
        }
        for (source, _) in secrets(it) {
            let file = compose["secrets"][&source]["file"].as_str().unwrap_or_default();
            mounted(name, &source, file, root, generated, &mut wrong);
        }
        for volume in it["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // `${…:-…}` holds a colon of its own.
            let (source, _) = match volume.strip_prefix(GENERATED) {
                Some(rest) => (format!("{GENERATED}{}", rest.split(':').next().unwrap_or_default()), ()),
                None => (volume.split(':').next().unwrap_or_default().to_owned(), ()),
            };
            if source.starts_with(['.', '$']) {
                mounted(name, &source, &source, root, generated, &mut wrong);
            } else if compose["volumes"].get(&source).is_none() {
                wrong.push(format!("{name}: the volume {source} is not declared"));
            }
        }
    }
    let expected: BTreeSet<&str> =
        ["postgres", "redis", "rabbitmq", "consul", "envoy", "mailbox", "sandboxes", "migrate"]
            .into_iter()
            .collect();
    wrong.extend(
        expected.into_iter().filter(|name| !all.contains_key(*name)).map(|it| format!("{it} is missing")),
    );
    wrong
}

/// Each secret of a service: which, and under what name.
fn secrets(service: &Value) -> impl Iterator<Item = (String, String)> {
    service["secrets"].as_array().into_iter().flatten().map(|secret| {
        let source = secret.as_str().or(secret["source"].as_str()).unwrap_or_default().to_owned();
        let target = secret["target"].as_str().unwrap_or(&source).to_owned();
        (source, target)
    })
}

fn mounted(name: &str, what: &str, file: &str, root: &Path, generated: &Path, wrong: &mut Vec<String>) {
    let path = match file.strip_prefix(GENERATED) {
        Some(rest) => generated.join(rest),
        None => root.join(file),
    };
    if file.is_empty() || !path.exists() {
        wrong.push(format!("{name}: it mounts {what}, which nothing makes"));
    }
}

/// What is wrong with the image.
fn image(dockerfile: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let stages = dockerfile.lines().filter(|line| line.starts_with("FROM ")).count();
    if stages < 2 {
        wrong.push("Dockerfile: the compiler is in the image: it needs a stage of its own".into());
    }
    let user = dockerfile.lines().rev().find_map(|line| line.strip_prefix("USER "));
    if user.is_none_or(|user| ["root", "0"].contains(&user.trim())) {
        wrong.push("Dockerfile: the services would run as root".into());
    }
    wrong
}

/// The configuration of each container, read by the binary itself: a key that it doesn't know is refused.
pub fn configuration(artel: &Path) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("artel-configuration-{}", std::process::id()));
    let checked = State::open(&folder).and_then(|state| {
        let generated = folder.join("compose");
        compose::write(&generated, &Secrets::of(&state))?;
        let compose = read(&std::fs::read_to_string(artel::root().join("compose.yaml"))?)?;
        for name in services().chain(["migrate", "operator"]) {
            let environment = compose["services"][name]["environment"].as_object();
            read_by(artel, &generated, name, environment).with_context(|| format!("the container {name}"))?;
        }
        Ok(())
    });
    std::fs::remove_dir_all(&folder)?;
    checked
}

fn read_by(
    artel: &Path,
    generated: &Path,
    name: &str,
    environment: Option<&Map<String, Value>>,
) -> Result<()> {
    let path = generated.join(format!("{name}.toml"));
    // What containers find in /run/secrets lies elsewhere here.
    let text = std::fs::read_to_string(&path)?.replace("/run/secrets", &generated.display().to_string());
    std::fs::write(&path, &text)?;
    let tables = text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    for section in tables.filter(|table| !table.contains('.')) {
        let mut command = Command::new(artel);
        command.args(["config", section]).env("ARTEL_CONFIG", &path);
        for (name, value) in environment.into_iter().flatten() {
            command.env(name, value.as_str().unwrap_or_default());
        }
        install::run(&mut command)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl Fn(String) -> String) -> String {
        let folder = std::env::temp_dir().join(format!(
            "artel-wrong-{}-{}",
            std::process::id(),
            rand::random::<u32>()
        ));
        let state = State::open(&folder).unwrap();
        compose::write(&folder.join("compose"), &Secrets::of(&state)).unwrap();
        let text = std::fs::read_to_string(artel::root().join("compose.yaml")).unwrap();
        let wrong = structure(&read(&change(text)).unwrap(), &artel::root(), &folder.join("compose"));
        std::fs::remove_dir_all(&folder).unwrap();
        wrong.join("\n")
    }

    #[test]
    fn what_the_mesh_needs_is_there_and_would_be_missed() {
        assert_eq!(wrong(|text| text), "");
        let found = wrong(|text| text.replace("command: [serve, order]", "command: [serve, catalog]"));
        assert!(found.contains("order: its command is"), "{found}");
        let found = wrong(|text| text.replace("  notify:\n", "  notifier:\n"));
        assert!(found.contains("the service notify is missing"), "{found}");
        let found = wrong(|text| text.replace("mem_limit: 768m", ""));
        assert!(found.contains("rabbitmq: no memory limit"), "{found}");
        let found = wrong(|text| text.replace("/rabbitmq.conf:", "/rabbit.conf:"));
        assert!(found.contains("which nothing makes"), "{found}");
        assert_eq!(image("FROM a\nFROM b\nUSER 10001\n").len(), 0);
        assert_eq!(image("FROM a\nUSER 0\n").len(), 2);
    }
}

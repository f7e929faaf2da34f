//! PostgreSQL: a cluster of our own, made at first start. It refuses to be run by root, so root's runs as a
//! system user.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::Context;
use crate::files;
use crate::process::{Kind, Spec};
use crate::secrets::Secrets;
use crate::state::State;

const CONFIG: &str = include_str!("../../../system/database/postgresql.conf");
const ROLES: &str = include_str!("../../../system/database/roles.sql");
/// A socket's path is at most 107 bytes; the file's name takes up to 16 of them.
const LONGEST_SOCKET_FOLDER: usize = 90;

/// Starts it, with the roles and the database in place.
pub fn start(context: &Context) -> Result<String> {
    let Context { state, tools, ports, secrets, supervisor, .. } = context;
    let server = Server::new(state, &tools.postgres)?;
    let superuser = secrets.password("postgres")?;
    if !server.data.join("PG_VERSION").exists() {
        server.initdb(&superuser)?;
    }
    let version = fs::read_to_string(server.data.join("PG_VERSION"))?;
    let ours = tools.postgres_major()?;
    if version.trim() != ours {
        bail!(
            "the data in {} is of PostgreSQL {}, and {ours} is installed: remove the state folder to begin anew",
            server.data.display(),
            version.trim()
        );
    }
    let socket = socket_folder(state)?;
    server.give(&socket)?;
    let port = ports.text("postgres");
    let config = files::fill(CONFIG, &[("port", &port), ("socket", &socket.display().to_string())])?;
    let file = server.data.join("artel.conf");
    files::write_public(&file, &config)?;

    let mut spec = Spec::new("postgres", Kind::Component, tools.postgres.join("postgres"), state)
        .args(["-D".to_owned(), server.data.display().to_string()])
        .args([format!("--config-file={}", file.display())])
        .stop_with(Signal::INT)
        .grace(Duration::from_secs(20))
        .at(format!("127.0.0.1:{port}"));
    if let Some((program, args)) = server.prefix() {
        let inner = std::mem::replace(&mut spec.program, program);
        spec.args.splice(0..0, args.into_iter().chain([inner.display().to_string()]));
    }
    let pgpass = state.secrets().join("pgpass");
    files::write_private(&pgpass, &format!("127.0.0.1:{port}:*:postgres:{superuser}\n"))?;
    supervisor.start_and_wait(spec, Duration::from_secs(60), || {
        let status = psql(context, &pgpass).args(["-c", "SELECT 1"]).output()?;
        if !status.status.success() {
            bail!("{}", String::from_utf8_lossy(&status.stderr).trim());
        }
        Ok(true)
    })?;
    roles(context, &pgpass)?;
    Ok(format!("127.0.0.1:{port}, version {}", version.trim()))
}

/// `postgres://…` of one of the roles, to the database `artel` (the superuser's: `postgres`).
pub fn url(context: &Context, role: &str) -> Result<String> {
    let database = if role == "postgres" { "postgres" } else { "artel" };
    let password = context.secrets.password(role)?;
    Ok(format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", context.ports.get("postgres")))
}

/// The folder of the Unix socket: in the state folder, or in /tmp where that path is too long.
pub fn socket_folder(state: &State) -> Result<PathBuf> {
    let mut folder = state.run().join("postgres");
    if folder.as_os_str().len() > LONGEST_SOCKET_FOLDER {
        let digest = crate::install::sha256(state.root().as_os_str().as_encoded_bytes());
        folder = PathBuf::from(format!("/tmp/artel-{}", &digest[..12]));
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn psql(context: &Context, pgpass: &Path) -> Command {
    let mut command = Command::new(context.tools.postgres.join("psql"));
    command
        .args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres"])
        .args(["-p", &context.ports.text("postgres")])
        .env("PGPASSFILE", pgpass)
        .env("PGCONNECT_TIMEOUT", "5");
    command
}

/// `roles.sql` with the roles' passwords before it.
pub fn roles_script(secrets: &Secrets) -> Result<String> {
    let mut script = String::new();
    for (variable, role) in
        [("owner_password", "artel_owner"), ("artel_password", "artel"), ("system_password", "artel_system")]
    {
        script.push_str(&format!("\\set {variable} '{}'\n", secrets.password(role)?));
    }
    script.push_str(ROLES);
    Ok(script)
}

fn roles(context: &Context, pgpass: &Path) -> Result<()> {
    // Passwords go through the pipe: what stands in a command line is there for everybody to read.
    let script = roles_script(&context.secrets)?;
    let mut child =
        psql(context, pgpass).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("psql has no input")?.write_all(script.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("system/database/roles.sql failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The cluster's folder and who runs it.
struct Server {
    bin: PathBuf,
    data: PathBuf,
    /// Set where we are root.
    user: Option<User>,
}

struct User {
    name: String,
    uid: u32,
    gid: u32,
    /// The way to the state folder is closed to this user (as in /root), so it needs help with that.
    passes_closed_folders: bool,
}

impl Server {
    fn new(state: &State, bin: &Path) -> Result<Self> {
        let data = state.data("postgres")?;
        let user = if rustix::process::geteuid().is_root() { Some(User::find(&data)?) } else { None };
        let server = Self { bin: bin.to_owned(), data, user };
        server.give(&server.data)?;
        fs::set_permissions(&server.data, fs::Permissions::from_mode(0o700))?;
        Ok(server)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot give {} to {}", path.display(), user.name))?;
        }
        Ok(())
    }

    /// What stands before a command that the system user is to run.
    fn prefix(&self) -> Option<(PathBuf, Vec<String>)> {
        let user = self.user.as_ref()?;
        let mut args = vec![format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
        args.push("--clear-groups".to_owned());
        if user.passes_closed_folders {
            args.push("--inh-caps=+dac_override".to_owned());
            args.push("--ambient-caps=+dac_override".to_owned());
        }
        args.push("--".to_owned());
        Some(("setpriv".into(), args))
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        match self.prefix() {
            None => Command::new(program),
            Some((setpriv, args)) => {
                let mut command = Command::new(setpriv);
                command.args(args).arg(program);
                command
            }
        }
    }

    fn initdb(&self, superuser: &str) -> Result<()> {
        // A half-made cluster of an interrupted first start is no use.
        for entry in fs::read_dir(&self.data)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        let password = self.data.with_file_name(".postgres-password");
        files::write_private(&password, superuser)?;
        self.give(&password)?;
        let output = self
            .command("initdb")
            .args(["--auth=scram-sha-256", "--username=postgres", "--data-checksums", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--no-instructions"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", self.data.display()))
            .current_dir("/")
            .output()
            .context("cannot run initdb")?;
        fs::remove_file(&password)?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl User {
    fn find(data: &Path) -> Result<Self> {
        const NAME: &str = "postgres";
        let passwd = fs::read_to_string("/etc/passwd")?;
        let Some(line) = passwd.lines().find(|line| line.split(':').next() == Some(NAME)) else {
            bail!(
                "PostgreSQL refuses root, and there is no user `{NAME}`: `useradd --system {NAME}` makes one"
            );
        };
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields[2].parse()?, fields[3].parse()?);
        let closed = data
            .ancestors()
            .skip(1)
            .any(|folder| fs::metadata(folder).is_ok_and(|it| it.permissions().mode() & 0o001 == 0));
        Ok(Self { name: NAME.to_owned(), uid, gid, passes_closed_folders: closed })
    }
}

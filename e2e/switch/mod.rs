//! `centrex switch`: answers as standalone does from the same database, and reports its revisions.

mod acks;
mod answers;
mod damaged;
mod database;
mod limits;
mod options;

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::PgConnection;
use tempfile::TempDir;

use crate::postgres::{Database, key_line, reachable_dir};
use crate::program::{Program, Setting, url};

/// Postgres, a key file, and a directory for switches.
pub struct Site {
    pub database_url: String,
    key_file: PathBuf,
    media: PathBuf,
    directory: TempDir,
}

impl Site {
    /// A site on a database that is sealed with version 1 of key `a`.
    pub fn on(database: &Database) -> Self {
        Self::at(url(database))
    }

    /// The same, by the database's URL.
    pub fn at(database_url: String) -> Self {
        let directory = reachable_dir();
        let key_file = directory.path().join("keys");
        write_key(&key_file, 'a');
        let media = directory.path().join("media");
        Self { database_url, key_file, media, directory }
    }

    /// A site next to a `centrex standalone` that writes.
    fn beside(setting: &Setting, database_url: &str) -> Self {
        let directory = reachable_dir();
        Self {
            database_url: database_url.to_owned(),
            key_file: setting.data_dir().join("encryption-keys"),
            media: setting.data_dir().join("media"),
            directory,
        }
    }

    /// The data directory of a switch.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command of `centrex switch` with a name.
    pub fn command(&self, name: &str) -> Command {
        self.command_at(name, "127.0.0.1:0")
    }

    /// The same, with an address to listen at.
    pub fn command_at(&self, name: &str, listen: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
        command.args(["switch", "--xml-listen", listen, "--health-listen", "127.0.0.1:0"]);
        command.args(["--name", name, "--database-url", &self.database_url]);
        command.arg("--encryption-key-file").arg(&self.key_file).arg("--media-dir").arg(&self.media);
        command.arg("--data-dir").arg(self.data_dir(name));
        command.env("CENTREX_XML_USERNAME", "freeswitch").env("CENTREX_XML_PASSWORD", "demo-only");
        command
    }

    /// Starts a switch, and waits until it listens.
    fn start(&self, name: &str) -> Program {
        self.start_command(&mut self.command(name), name)
    }

    /// Starts a command, and waits until it listens.
    pub fn start_command(&self, command: &mut Command, name: &str) -> Program {
        let output = self.directory.path().join(format!("{name}.log"));
        Program::start(command, output, "answering mod_xml_curl")
    }

    /// Starts a switch, and waits until it is ready.
    pub fn start_ready(&self, name: &str) -> Program {
        let mut program = self.start(name);
        program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
        program
    }
}

/// A key file with one key, version 1.
fn write_key(path: &Path, letter: char) {
    std::fs::write(path, key_line(1, letter)).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Reports in Postgres: name of the switch, the platform's revision, the tenant's name and its revision.
async fn reported(admin: &mut PgConnection) -> Vec<(String, i64, String, i64)> {
    sqlx::query_as(
        "SELECT s.name, s.platform_revision, t.name, h.revision FROM public.switches s
         JOIN public.switch_state h ON h.switch = s.name JOIN public.tenants t ON t.id = h.tenant_id
         ORDER BY s.name, t.name",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

/// Names of the switches with a row.
async fn names(admin: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM public.switches ORDER BY name").fetch_all(admin).await.unwrap()
}

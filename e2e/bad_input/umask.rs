//! Root's Postgres runs as another user, which needs access to the data with every umask of root; an
//! inaccessible parent directory is reported first.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::options::refused;
use crate::program::Setting;
use crate::skip::skip;

const UMASKS: [&str; 3] = ["022", "027", "077"];

/// Standalone, started by a shell with a umask; its data directory and the parent directory are missing.
fn standalone(setting: &Setting, umask: &str, data_dir: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_centrex")]);
    shell.arg("standalone").arg("--manifests").arg(setting.manifests()).arg("--data-dir").arg(data_dir);
    shell.args(["--xml-listen", "127.0.0.1:0"]).env_remove("CENTREX_DATABASE_URL");
    shell.env("CENTREX_XML_USERNAME", "freeswitch").env("CENTREX_XML_PASSWORD", "demo-only");
    shell
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn standalone_starts_with_every_umask() {
    let test = "bad_input::umask::standalone_starts_with_every_umask";
    if crate::standalone::without_postgres(test) {
        return;
    }
    for umask in UMASKS {
        let setting = Setting::samples();
        let data_dir = setting.path("new/data");
        let mut program = setting.start_command(&mut standalone(&setting, umask, &data_dir));
        program.wait_until("readiness", |program| program.get("/readyz").0 == 200);
        assert!(program.answer("acme-register-1001").contains("a1-hash"));
        let (status, log) = program.end("-TERM");
        assert_eq!(status.code(), Some(0), "umask {umask}: {log}");
        // Other users may enter the directories, list nothing, and read no secret.
        for directory in [setting.path("new"), data_dir.clone()] {
            assert_eq!(mode(&directory), 0o711, "umask {umask}: {}", directory.display());
        }
        for secret in ["encryption-keys", "postgres.password"] {
            assert_eq!(mode(&data_dir.join(secret)), 0o600, "umask {umask}: {secret}");
        }
        assert_eq!(mode(&data_dir.join("postgres")), 0o700, "umask {umask}");
    }
}

#[test]
fn an_inaccessible_parent_directory_is_reported_before_files_are_created() {
    let test = "bad_input::umask::an_inaccessible_parent_directory_is_reported_before_files_are_created";
    if !rustix::process::geteuid().is_root() {
        return skip(test, "not run as root: only root gives the data to another account");
    }
    if crate::standalone::without_postgres(test) {
        return;
    }
    for umask in UMASKS {
        let setting = Setting::samples();
        let home = setting.path("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        let named = home.display().to_string();
        let mut command = standalone(&setting, umask, &home.join("clone/target/run"));
        refused(&setting, &mut command, 1, &["--data-dir", "may not enter", &named, "/var/lib/centrex"]);
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "umask {umask}");
    }
}

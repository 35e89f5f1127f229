//! The local Postgres server: created, stopped, and recovered after a crash.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use centrex::local_postgres::{LocalError, LocalOptions, LocalPostgres};
use sqlx::ConnectOptions;

use crate::postgres::reachable_dir;
use crate::skip::skip;
use crate::wait::DEADLINE;

/// Starts a server; `None`, and the test is counted as skipped, where Postgres is not installed.
async fn start(test: &str, options: &LocalOptions) -> Option<LocalPostgres> {
    match LocalPostgres::start(options).await {
        Err(error @ LocalError::Binaries) => {
            skip(test, &error.to_string());
            None
        }
        started => Some(started.unwrap()),
    }
}

async fn count(postgres: &LocalPostgres) -> i64 {
    let mut connection = postgres.connect_options().connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS public.starts (x int); INSERT INTO public.starts VALUES (1)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query_scalar("SELECT count(*) FROM public.starts").fetch_one(&mut connection).await.unwrap()
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn the_own_postgres_keeps_its_data_over_stops_and_crashes() {
    let directory = reachable_dir();
    let options = LocalOptions { data_dir: directory.path().join("data"), durable: true };
    let Some(postgres) = start("own postgres: data are kept", &options).await else { return };
    assert_eq!(count(&postgres).await, 1);

    // A second one in the same directory is refused, and does not disturb the first.
    let error = LocalPostgres::start(&options).await.unwrap_err();
    assert!(matches!(error, LocalError::InUse(_)), "{error}");
    assert_eq!(count(&postgres).await, 2);

    let pid = postgres.pid();
    postgres.stop().await.unwrap();
    assert!(!alive(pid));

    // After SIGKILL the pid file is left, and the next start removes it.
    let postgres = start_again(&options).await;
    assert_eq!(count(&postgres).await, 3);
    signal("-KILL", postgres.pid());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(postgres.stop().await.is_err());
    assert!(options.data_dir.join("postgres/postmaster.pid").exists());
    let postgres = start_again(&options).await;
    assert_eq!(count(&postgres).await, 4);

    // The parent was killed and the server still runs: the next start stops the server first.
    let orphan = postgres.pid();
    std::mem::forget(postgres);
    std::fs::remove_file(options.data_dir.join("postgres.lock")).unwrap(); // as if nobody held it
    let postgres = start_again(&options).await;
    assert!(!alive(orphan));
    assert_eq!(count(&postgres).await, 5);
    postgres.stop().await.unwrap();

    // The pid of a server that ended belongs to another process now.
    let pid_file = options.data_dir.join("postgres/postmaster.pid");
    std::fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
    let postgres = start_again(&options).await;
    assert_eq!(count(&postgres).await, 6);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_means_loopback_with_a_password() {
    let directory = reachable_dir();
    let data_dir =
        directory.path().join("a-directory-with-a-name-that-is-much-too-long-for-the-socket-of-a-postgres");
    let options = LocalOptions { data_dir, durable: false };
    let Some(postgres) = start("own postgres: long path", &options).await else { return };
    assert_eq!(count(&postgres).await, 1);
    assert_eq!(postgres.connect_options().get_host(), "127.0.0.1");
    let error = postgres.connect_options().password("wrong").connect().await.unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_its_account_cannot_enter_is_named() {
    let test = "store::own_postgres::a_directory_its_account_cannot_enter_is_named";
    if !rustix::process::geteuid().is_root() {
        return skip(test, "not run as root: only root gives the data to another account");
    }
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let options = LocalOptions { data_dir: closed.path().join("data"), durable: false };
    match LocalPostgres::start(&options).await {
        Err(LocalError::Unreachable { directory, .. }) => assert_eq!(directory, closed.path()),
        Err(error @ LocalError::Binaries) => skip(test, &error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_or_foreign_directory_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = LocalOptions { data_dir: file.path().to_owned(), durable: false };
    let error = LocalPostgres::start(&options).await.unwrap_err().to_string();
    assert!(error.contains("--data-dir") && error.contains(&file.path().display().to_string()), "{error}");
}

/// Starts a server in the directory of one that has ended. A program that another test starts at this moment has a
/// copy of the lock's file descriptor until its `exec`.
async fn start_again(options: &LocalOptions) -> LocalPostgres {
    let started = Instant::now();
    loop {
        match LocalPostgres::start(options).await {
            Err(LocalError::InUse(_)) if started.elapsed() < DEADLINE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result.unwrap(),
        }
    }
}

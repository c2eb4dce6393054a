//! `e2e/compose.sh` where something is wrong: it ends with one clear line and a status that is not 0, and leaves nothing
//! behind. What needs an engine runs as part of `make e2e-compose`.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postern_e2e::bootstrap::workspace;
use postern_e2e::containers::until;

/// What became of a run.
struct Run {
    project: String,
    code: Option<i32>,
    told: String,
}

fn script() -> Command {
    let mut command = Command::new(workspace().join("e2e/compose.sh"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(command: &mut Command) -> Run {
    let process = command.spawn().expect("bash");
    let project = format!("postern-e2e-{}", process.id());
    let output = process.wait_with_output().expect("an end");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Run { project, code: output.status.code(), told }
}

impl Run {
    /// One line, and all of `parts` in it.
    #[track_caller]
    fn assert_refused(&self, parts: &[&str]) {
        assert_eq!((self.code, self.told.lines().count()), (Some(1), 1), "{}", self.told);
        assert!(self.told.starts_with("e2e-compose: "), "{}", self.told);
        for part in parts {
            assert!(self.told.contains(part), "no {part:?} in {}", self.told);
        }
    }
}

/// A folder of programs: the few that the script needs to get as far as it should, and a `docker` of our own.
fn programs(docker: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["bash", "dirname", "realpath", "timeout"] {
        symlink(found(name), folder.path().join(name)).expect("a link");
    }
    if let Some(script) = docker {
        let path = folder.path().join("docker");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a writable folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a file of ours");
    }
    folder
}

fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a path");
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()).expect(name)
}

#[test]
fn what_is_missing_is_named_before_anything_is_started() {
    let engine_down = "exit 1";
    let no_compose = "test \"$1\" = version";
    for (docker, part) in [
        (None, "there is no docker command"),
        (Some(engine_down), "no Docker engine answers at tcp://192.0.2.1:2375"),
        (Some(no_compose), "neither `docker compose` nor docker-compose"),
    ] {
        let folder = programs(docker);
        run(script().env("PATH", folder.path()).env("DOCKER_HOST", "tcp://192.0.2.1:2375"))
            .assert_refused(&[part]);
    }
}

/// What the engine still has of a project.
fn left(project: &str) -> Vec<String> {
    let listed = [
        ["ps", "--all", "--format", "{{.Names}}"],
        ["network", "ls", "--format", "{{.Name}}"],
        ["volume", "ls", "--format", "{{.Name}}"],
        ["images", "--all", "--format", "{{.Repository}}"],
    ];
    let all = listed.map(|arguments| {
        let output = Command::new("docker").args(arguments).output().expect("the docker command");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    all.iter()
        .flat_map(|text| text.lines())
        .filter(|name| name.contains(project))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn assert_refused_and_cleaned_up(command: &mut Command, parts: &[&str]) {
    let run = run(command);
    run.assert_refused(parts);
    assert_eq!(left(&run.project), Vec::<String>::new());
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a writable folder");
    path
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn an_engine_that_is_down_is_named() {
    let nowhere = "unix:///nowhere/docker.sock";
    run(script().env("DOCKER_HOST", nowhere)).assert_refused(&["no Docker engine answers at", nowhere]);
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_port_that_is_taken_is_named_and_nothing_is_left() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("the port just bound").port().to_string();
    let command = &mut script();
    assert_refused_and_cleaned_up(command.env("POSTERN_COMPOSE_PORT", &port), &["do not start", &port]);
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn an_image_that_does_not_build_is_told_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dockerfile = written(folder.path(), "Dockerfile", "FROM python:3-slim\nCOPY nowhere /\n");
    let command = &mut script();
    assert_refused_and_cleaned_up(
        command.env("POSTERN_DOCKERFILE", dockerfile),
        &["image of our own programs does not build", "nowhere"],
    );
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_container_that_dies_at_its_start_is_named_with_its_complaint_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = written(folder.path(), "broken.wasm", "this is no module");
    let command = &mut script();
    assert_refused_and_cleaned_up(command.env("POSTERN_WASM", module), &["envoy ended at its start", "asm"]);
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_run_that_is_interrupted_takes_everything_down() {
    // A group of its own, so that the interrupt reaches what it runs too, as Ctrl-C does.
    let process = script().process_group(0).spawn().expect("bash");
    let group = process.id();
    let project = format!("postern-e2e-{group}");
    until("containers", || (left(&project).len() > 5).then_some(()));
    let interrupt = Command::new("kill").args(["-INT", "--", &format!("-{group}")]).status();
    assert!(interrupt.expect("kill").success());
    let output = process.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(left(&project), Vec::<String>::new());
}

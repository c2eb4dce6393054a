//! `e2e/compose.sh` itself. However the script ends, it leaves nothing behind; a mistake it reports in one
//! clear line and with a status that is not 0. The tests that need an engine run as part of `make
//! e2e-compose`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postern_e2e::scene::bootstrap::workspace;

/// The outcome of a run.
struct Run {
    code: Option<i32>,
    /// The standard output.
    shown: String,
    /// The standard error.
    complained: String,
}

fn script() -> Command {
    bash("e2e/compose.sh")
}

/// Returns a command of a script of ours, without the settings that the run around these tests was given.
fn bash(script: &str) -> Command {
    let mut command = Command::new(workspace().join(script));
    for asked in ["POSTERN_COMPOSE_PORT", "POSTERN_DOCKERFILE", "RUST_TEST_THREADS"] {
        command.env_remove(asked);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(command: &mut Command) -> Run {
    let output = command.output().expect("bash");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code(), shown: text(&output.stdout), complained: text(&output.stderr) }
}

impl Run {
    /// Asserts that the run failed with one line on standard error, which contains all of `parts`.
    #[track_caller]
    fn assert_refused(&self, parts: &[&str]) {
        assert_eq!((self.code, self.complained.lines().count()), (Some(1), 1), "{}", self.complained);
        assert!(
            self.complained.starts_with("e2e-compose: ") || self.complained.starts_with("images: "),
            "{}",
            self.complained
        );
        for part in parts {
            assert!(self.complained.contains(part), "no {part:?} in {}", self.complained);
        }
    }
}

/// Makes a folder of programs: the few that the scripts need to get as far as they should, and a `docker` of
/// our own.
fn programs(docker: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["bash", "dirname", "realpath", "timeout", "sed", "mktemp", "rm", "tail"] {
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
    let old_compose =
        "case \"$0 $*\" in *compose\\ version\\ --short) echo 1.25.0 ;; *compose\\ version) exit 1 ;; esac";
    for (docker, part) in [
        (None, "there is no docker command"),
        (Some(engine_down), "no Docker engine answers at tcp://192.0.2.1:2375"),
        (Some(no_compose), "neither `docker compose` nor docker-compose"),
        (Some(old_compose), "docker-compose is 1.25.0; install 1.29"),
    ] {
        let folder = programs(docker);
        if docker == Some(old_compose) {
            symlink("docker", folder.path().join("docker-compose")).expect("a link");
        }
        run(script().env("PATH", folder.path()).env("DOCKER_HOST", "tcp://192.0.2.1:2375"))
            .assert_refused(&[part]);
    }
}

#[test]
fn an_image_is_pulled_where_that_can_be_done_and_taken_as_it_is_where_it_is_here() {
    let (envoy, python) = ("images: envoyproxy/envoy:v1.40.0", "images: python:3-slim");
    let pulls = "case \"$1 $2\" in 'image inspect') exit 1 ;; esac";
    let has = "case \"$*\" in *--format*) echo yes ;; esac";
    for (docker, printed) in [
        (pulls, [format!("{envoy} was pulled"), format!("{python} was pulled")]),
        ("", [format!("{envoy} is here"), format!("{python} is here")]),
        (
            has,
            [("envoyproxy/envoy:v1.40.0", envoy), ("python:3-slim", python)].map(|(image, line)| {
                format!("{line} is a stand-in made earlier; `docker image rm {image}` to have it pulled")
            }),
        ),
    ] {
        let folder = programs(Some(docker));
        let run = run(bash("e2e/images/make.sh").env("PATH", folder.path()));
        assert_eq!((run.code, run.complained.as_str()), (Some(0), ""), "{docker}");
        assert_eq!(run.shown.lines().collect::<Vec<_>>(), printed, "{docker}");
    }
}

#[test]
fn an_image_that_can_neither_be_pulled_nor_made_is_named_with_the_reason() {
    let folder = programs(Some(
        "case \"$1 $2\" in 'image inspect') exit 1 ;; pull*) echo 'no such host' >&2; exit 1 ;; esac",
    ));
    let run = run(bash("e2e/images/make.sh").env("PATH", folder.path()));
    run.assert_refused(&["cannot pull envoyproxy/envoy:v1.40.0 python:3-slim", "apt-get"]);
    assert!(run.shown.contains("images: python:3-slim cannot be pulled: no such host\n"), "{}", run.shown);
}

#[test]
fn a_test_file_counts_as_failed_unless_it_reports_that_it_passed() {
    for (run_file, failed) in [
        ("true", ""),
        ("false", "one two"),
        ("exit 3", "one two"),
        ("[ $1 = one ]", "two"),
        ("kill -KILL $BASHPID", "one two"),
        ("rm -r \"$folder/runs/$1\"", "one two"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let list = written(folder.path(), "list", "one\t/nowhere\ntwo\t/nowhere\n");
        let text = format!(
            "set -euo pipefail; folder=$1; . e2e/parallel.sh; run_file() {{ {run_file}; }}; \
             run_parallel \"$2\" 1; echo \"failed: ${{failed[*]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &text, "bash"]).arg(folder.path()).arg(list).current_dir(workspace());
        let run = run(&mut bash);
        let said = run.shown.lines().last().unwrap_or_default();
        assert_eq!((run.code, said), (Some(0), format!("failed: {failed}").as_str()), "{run_file}");
    }
}

/// Returns everything that the engine has: containers, networks, volumes and images, also those without a
/// name.
fn things() -> BTreeSet<String> {
    let listed: [&[&str]; 4] = [
        &["ps", "--all", "--no-trunc", "--format", "container {{.ID}} {{.Names}}"],
        &["network", "ls", "--no-trunc", "--format", "network {{.ID}} {{.Name}}"],
        &["volume", "ls", "--format", "volume {{.Name}}"],
        &["images", "--all", "--no-trunc", "--format", "image {{.ID}} {{.Repository}}:{{.Tag}}"],
    ];
    let all = listed.map(|arguments| {
        let output = Command::new("docker").args(arguments).output().expect("the docker command");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    all.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
}

/// Asserts that the engine has nothing that it had not `before`. Nobody else may use the engine meanwhile.
#[track_caller]
fn assert_nothing_left(before: &BTreeSet<String>) {
    let now = things();
    assert_eq!(now.difference(before).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[track_caller]
fn assert_refused_and_cleaned_up(command: &mut Command, parts: &[&str]) {
    let before = things();
    run(command).assert_refused(parts);
    assert_nothing_left(&before);
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
fn a_test_file_that_does_not_exist_is_named_and_nothing_is_started() {
    assert_refused_and_cleaned_up(script().args(["harness", "harnes"]), &["no test file harnes "]);
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
fn an_image_that_does_not_build_is_named_and_nothing_is_left() {
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
    command.env("MODULE", "wasm").env("POSTERN_WASM", module);
    assert_refused_and_cleaned_up(command, &["envoy ended at its start", "asm"]);
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_run_that_passes_leaves_nothing() {
    let before = things();
    let run = run(script().arg("harness"));
    assert_eq!((run.code, run.complained.as_str()), (Some(0), ""), "{}", run.shown);
    for part in ["Running harness in containers", "e2e-compose: all passed in "] {
        assert!(run.shown.contains(part), "no {part:?} in {}", run.shown);
    }
    assert_nothing_left(&before);
}

/// A module that lets everything through: it speaks the ABI of proxy-wasm and asks for no callback.
const CARELESS: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x09\x02\x60\0\0\x60\x01\x7f\x01\x7f\
    \x03\x03\x02\0\x01\
    \x05\x03\x01\0\x01\
    \x07\x2d\x03\x06memory\x02\0\x17proxy_abi_version_0_2_1\0\0\x06malloc\0\x01\
    \x0a\x0a\x02\x02\0\x0b\x05\0\x41\x80\x08\x0b";

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_case_that_fails_is_shown_with_the_logs_of_envoy_and_the_services_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = folder.path().join("careless.wasm");
    std::fs::write(&module, CARELESS).expect("a writable folder");
    let before = things();
    let run = run(script().arg("origin").env("MODULE", "wasm").env("POSTERN_WASM", module));
    assert_eq!(
        (run.code, run.complained.as_str()),
        (Some(1), "e2e-compose: failed: origin\n"),
        "{}",
        run.shown
    );
    for part in [
        "test an_origin_that_is_not_allowed_is_denied_however_near_it_comes ... FAILED",
        "--- the end of Envoy's log ---",
        "--- the end of the containers' logs ---",
        "upstream: listens at",
        "auth: listens at",
    ] {
        assert!(run.shown.contains(part), "no {part:?} in {}", run.shown);
    }
    assert_nothing_left(&before);
}

/// Starts the script in a group of its own with these arguments, ends it by `signal` once `ready` has found what it
/// looks for, and expects that nothing is left. Ctrl-C reaches all that the script runs, `kill` the script alone.
#[track_caller]
fn assert_interrupted(signal: &str, status: i32, files: &[&str], ready: impl FnOnce(&mut Child)) {
    let before = things();
    // `--pdeathsig` ends the script with these tests. `--default-signal` is for tests in the background,
    // where interrupts are ignored: a shell that starts so keeps ignoring them.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "env", "--default-signal=INT", "--"]);
    command.arg(script().get_program()).args(files);
    command.env_remove("POSTERN_COMPOSE_PORT").env_remove("RUST_TEST_THREADS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.process_group(0).spawn().expect("setpriv");
    ready(&mut process);
    let target = if signal == "INT" { format!("-{}", process.id()) } else { process.id().to_string() };
    let interrupt = Command::new("kill").args([&format!("-{signal}"), "--", &target]).status();
    assert!(interrupt.expect("kill").success());
    let output = process.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert_nothing_left(&before);
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_run_that_is_interrupted_while_containers_start_takes_everything_down() {
    assert_interrupted("INT", 130, &["harness"], |process| {
        let project = format!("-{}", process.id());
        let is_of_it = |thing: &String| {
            let behind = thing.strip_prefix("container ").and_then(|name| name.split_once(&project));
            behind.is_some_and(|(_, service)| service.starts_with(['-', '_']))
        };
        // The wait is long because everything is built first, which takes a while on a busy machine.
        let end = Instant::now() + Duration::from_secs(300);
        while !things().iter().any(is_of_it) {
            assert_eq!(process.try_wait().expect("a child"), None, "it has ended");
            assert!(Instant::now() < end, "no container after five minutes");
            sleep(Duration::from_millis(100));
        }
    });
}

/// Waits until one file is shown, while the other, which takes much longer, still runs.
fn until_a_test_was_run(process: &mut Child) {
    // The script has deadlines of its own, so this wait needs none.
    let shown = BufReader::new(process.stdout.as_mut().expect("a pipe")).lines();
    let mut shown = shown.map_while(Result::ok);
    assert!(shown.any(|line| line.contains(" ... ok")), "no test was run");
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_run_that_is_interrupted_among_its_tests_takes_everything_down() {
    assert_interrupted("INT", 130, &["harness", "liveness"], until_a_test_was_run);
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn a_run_that_is_told_to_end_among_its_tests_takes_everything_down() {
    assert_interrupted("TERM", 143, &["harness", "liveness"], until_a_test_was_run);
}

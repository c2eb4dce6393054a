//! docs/first-policy.md, followed as it stands: its files, its commands and what they print, with a real Envoy. Only what the page
//! has built and installed is there already, and its ports are others. `make trial` does without even that.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::environment::{self, Environment};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::bootstrap::{wasm_module, workspace};
use postern_e2e::scene::envoy::find_binary;
use tokio::process::Command;

/// The longest that the page may take; Envoy compiles the module meanwhile.
const LIMIT: Duration = Duration::from_secs(180);

/// The ports of the page: the service, Envoy, and the admin interface where nothing is said of it.
const PORTS: [&str; 3] = ["9000", "9443", "9901"];

#[tokio::test]
async fn the_page_leads_from_a_policy_to_a_guarded_service_and_every_command_prints_what_it_says() {
    let postern = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("postern");
    let websockets = workspace().join(".tools/python");
    if !matches!(environment::current(), Environment::Native) {
        return not_run("the page is for one machine");
    }
    if !postern.is_file() || !websockets.join("websockets").is_dir() {
        return not_run("`cargo build -p postern-cli` and `make python` make what the page needs");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    place(
        &wasm_module().unwrap_or_else(|error| panic!("{error}")),
        root,
        "target/wasm32-wasip1/release/postern.wasm",
    );
    place(&find_binary().unwrap_or_else(|error| panic!("{error}")), root, ".envoy/envoy/_bin/envoy");
    command(root, "make", "exit 0");
    command(root, "apt-get", "exit 0");
    command(root, "cargo", &format!("shift 5\nexec '{}' \"$@\"", postern.display()));

    let page = workspace().join("docs/first-policy.md");
    let script = Command::new("python3").arg(workspace().join("e2e/trial/page.py")).arg(page).output();
    let script = String::from_utf8(script.await.expect("python3").stdout).unwrap();
    let path = std::env::var("PATH").unwrap();
    // It ends what the page has started, too.
    let mut bash = Command::new("timeout");
    bash.args([&LIMIT.as_secs().to_string(), "bash", "-c", &on_free_ports(&script)]);
    bash.env("PATH", format!("{}:{path}", root.join("bin").display())).env("PYTHONPATH", websockets);
    let output = bash.current_dir(root).stdin(Stdio::null()).output();
    let output = within(LIMIT + PATIENCE, "the page", output).await.expect("coreutils");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let log = std::fs::read_to_string(root.join(".run/own/envoy.log")).unwrap_or_default();
    assert!(output.status.success(), "{}{}\n{log}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("s  Why\n"), "the page ends there: {}", text(&output.stdout));
}

/// Returns the script with ports that are free in the place of the page's.
fn on_free_ports(script: &str) -> String {
    let listeners = PORTS.map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    let free = listeners.map(|listener| listener.local_addr().unwrap().port().to_string());
    let with_admin = script.replace("--listen ", "--admin 127.0.0.1:9901 --listen ");
    PORTS.iter().zip(&free).fold(with_admin, |script, (port, free)| {
        script
            .replace(&format!(":{port}"), &format!(":{free}"))
            .replace(&format!("\"127.0.0.1\", {port}"), &format!("\"127.0.0.1\", {free}"))
    })
}

/// Puts a link to `file` where the page looks for it.
fn place(file: &Path, root: &Path, name: &str) {
    let link: PathBuf = root.join(name);
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(file, link).unwrap();
}

/// Puts a command in the place of one that installs or builds.
fn command(root: &Path, name: &str, body: &str) {
    let file = root.join("bin").join(name);
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
}

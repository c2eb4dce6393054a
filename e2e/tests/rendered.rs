//! What `postern render envoy` makes, in a real Envoy: it is loaded, lets in who may connect, and refuses who may not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use postern_e2e::client::token::{EDGE_SECRET, edge_claims};
use postern_e2e::environment;
use postern_e2e::not_run::not_run;
use postern_e2e::scene::bootstrap::workspace;
use postern_e2e::scene::{envoy, module};
use postern_e2e::tls::{Certificate, LOCAL};
use postern_e2e::{Envoy, Frame, RawClient, Request, Signer, Upstream};
use tempfile::TempDir;

/// A module that loads at once and takes any policy: policies are not what is tested where it is.
const IDLE_MODULE: &str = include_str!("../modules/empty.wat");

const POLICY: &str = r#"
# A comment of its author.
providers:
  edge: {issuer: edge, audiences: [chat], algorithms: [HS256], secret: {env: POSTERN_EDGE_SECRET}}
policies:
  chat:
    origins: {allow: ["https://app.example.com"]}
    auth: {providers: [edge], from: [{header: authorization}]}
default_policy: chat
"#;

/// The files that a rendered configuration names.
struct Files {
    folder: TempDir,
    certificate: Certificate,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::self_signed(&LOCAL);
        certificate.write(folder.path()).unwrap();
        Self { folder, certificate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Renders a policy for an Envoy with this module, named by its option, and this service, and returns where the
    /// configuration is.
    fn render(
        &self,
        policy: &Path,
        module: [&Path; 2],
        service: SocketAddr,
        more: &[&str],
    ) -> Option<PathBuf> {
        let Some(postern) = postern() else {
            not_run("the command is not built: `cargo build -p postern-cli` builds it");
            return None;
        };
        let anywhere = SocketAddr::from((environment::current().envoy(), 0)).to_string();
        let mut command = Command::new(postern);
        command.args(["render", "envoy", "--policy-file"]).arg(policy).args(module);
        command.args(["--listen", &anywhere, "--admin", &anywhere, "--upstream", &service.to_string()]);
        command
            .arg("--certificate")
            .arg(self.path("cert.pem"))
            .arg("--private-key")
            .arg(self.path("key.pem"));
        command
            .arg("--ca")
            .arg(self.path("cert.pem"))
            .arg("--client-ca")
            .arg(self.path("cert.pem"))
            .args(more);
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complaint}", policy.display());
        let name = policy.file_stem().unwrap().to_string_lossy().into_owned();
        let rendered = self.path(&format!("{name}.envoy.yaml"));
        std::fs::write(&rendered, output.stdout).unwrap();
        Some(rendered)
    }
}

/// Returns the built command, which lies above the tests.
fn postern() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    Some(test.parent()?.parent()?.join("postern")).filter(|postern| postern.is_file())
}

#[tokio::test]
async fn a_rendered_policy_lets_in_by_token_and_origin_and_refuses_without() {
    let (files, upstream) = (Files::new(), Upstream::start(Vec::new()).await);
    let module = module::path().unwrap_or_else(|error| panic!("{error}"));
    let policy = files.path("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let option = if module::is_native() { "--dynamic-module" } else { "--module" };
    let module = [Path::new(option), &module];
    let Some(rendered) = files.render(&policy, module, upstream.address(), &[]) else { return };
    let environment = [("POSTERN_EDGE_SECRET".to_owned(), EDGE_SECRET.to_owned())];
    let started = Envoy::start_file(&rendered, files.folder.path(), 1, &environment).await;
    let envoy = started.unwrap_or_else(|error| panic!("{error}"));

    let token = Signer::edge().mint(&edge_claims("alice"));
    let request = |origin: &str| Request::upgrade("/anywhere").header("Origin", origin);
    let bearer = format!("Bearer {token}");
    for (request, status) in [
        (request("https://app.example.com"), 401),
        (request("https://evil.example.com").header("Authorization", &bearer), 403),
        (request("https://app.example.com").header("Authorization", &bearer), 101),
    ] {
        let tls = files.certificate.client(None);
        let mut client = RawClient::connect(envoy.listener(), None, Some(tls)).await.unwrap();
        let response = client.ask(&request).await;
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(upstream.has_seen(request.case()), status == 101);
        if status == 101 {
            client.send(Frame::text("echo").masked().bytes()).await;
            assert_eq!(client.frame().await, Ok(Frame::text("echo")));
        }
    }
    let labels = [("policy", "chat"), ("result", "refused"), ("reason", "origin_denied")];
    envoy.stat_becomes("postern_handshakes", &labels, 1.0).await;
}

#[tokio::test]
async fn envoy_loads_every_example_as_it_is_rendered_and_the_clusters_that_policies_name() {
    let files = Files::new();
    let module = files.path("idle.wasm");
    std::fs::write(&module, wat::parse_str(IDLE_MODULE).unwrap()).unwrap();
    let service = SocketAddr::from((environment::current().own(), 1));
    let entries = std::fs::read_dir(workspace().join("config/examples")).unwrap();
    let mut policies: Vec<(PathBuf, &[&str])> =
        entries.map(|entry| (entry.unwrap().path(), [].as_slice())).collect();
    let whole = files.path("whole.yaml");
    let more = POLICY.replace("from:", "revocation: {cluster: lists, path: /revoked.json}, from:")
        + "log: {refusals_per_second: 5}\ndrain_with_envoy: {cluster: envoy_admin}\n";
    let more = more.replace(
        "    auth:",
        "    tls: mutual\n    backpressure: {max_backlog_bytes: 2MiB}\n    global_rate_limit: {cluster: ratelimit, domain: \
         postern}\n    auth:",
    );
    std::fs::write(&whole, more).unwrap();
    policies.push((
        whole,
        &[
            "--cluster",
            "lists=https://lists.example.com",
            "--cluster",
            "ratelimit=http://127.0.0.1:8081",
            "--cluster",
            "envoy_admin=http://127.0.0.1:9901",
        ],
    ));
    assert!(policies.len() > 5);
    for (policy, more) in policies {
        let Some(rendered) = files.render(&policy, [Path::new("--module"), &module], service, more) else {
            return;
        };
        envoy::validate(&rendered).await.unwrap_or_else(|error| panic!("{}: {error}", policy.display()));
    }
}

//! The certificates of a mesh: an authority, what it signs for workloads, and the files through which a proxy is given new
//! ones while it runs.

use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const IDENTITY: &str = "default";
const TRUST: &str = "ROOTCA";

/// An authority that signs the certificates of workloads.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

/// A workload's certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// The name in it, such as `spiffe://cluster.local/ns/chat/sa/chat`.
    pub name: String,
    /// The hash by which Envoy speaks of the certificate.
    pub hash: String,
    chain: String,
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority that nobody else trusts.
    pub fn new() -> Self {
        let mut params = of("authority");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate of an authority"))
    }

    /// Signs a new certificate for the service account `name` of the namespace `chat`.
    pub fn identity(&self, account: &str) -> Identity {
        let name = format!("spiffe://cluster.local/ns/chat/sa/{account}");
        let mut params = of("workload");
        params.subject_alt_names = vec![SanType::URI(name.as_str().try_into().expect("a name in ASCII"))];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate of a workload");
        let hash = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
        Identity { name, hash, chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn pem(&self) -> String {
        self.0.as_ref().pem()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns what a certificate of this organisation has: an authority and those that it signs for must not share a name.
fn of(organisation: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params
}

/// The credentials of a proxy: who it is, and whom it trusts.
#[derive(Debug)]
pub enum Credentials {
    /// Written into its configuration.
    Fixed(Identity, String),
    /// In files that it watches.
    Watched(Watched),
}

impl Credentials {
    /// Returns credentials that stay as they are.
    pub fn fixed(identity: Identity, trusted: &Authority) -> Self {
        Self::Fixed(identity, trusted.pem())
    }

    /// Returns the `common_tls_context` of a proxy that shows its certificate, and takes peers by `name` or any.
    pub(super) fn tls(&self, name: Option<&str>) -> Value {
        let mut peers = json!({});
        if let Some(name) = name {
            peers["match_typed_subject_alt_names"] = json!([{"san_type": "URI", "matcher": {"exact": name}}]);
        }
        match self {
            Self::Fixed(identity, trusted) => {
                peers["trusted_ca"] = json!({"inline_string": trusted});
                json!({"tls_certificates": [identity.secret()], "validation_context": peers})
            }
            Self::Watched(files) => json!({
                "tls_certificate_sds_secret_configs": [{"name": IDENTITY, "sds_config": files.source("identity.json")}],
                "combined_validation_context": {
                    "default_validation_context": peers,
                    "validation_context_sds_secret_config": {"name": TRUST, "sds_config": files.source("trust.json")},
                },
            }),
        }
    }
}

impl Identity {
    fn secret(&self) -> Value {
        json!({
            "certificate_chain": {"inline_string": self.chain},
            "private_key": {"inline_string": self.key},
        })
    }
}

/// A folder of secrets that a proxy watches (SDS by files).
#[derive(Clone, Debug)]
pub struct Watched(PathBuf);

impl Watched {
    /// Returns the secrets in `folder`.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Writes the first secrets into `folder`.
    pub fn new(folder: &Path, identity: &Identity, trusted: &Authority) -> Self {
        let watched = Self::at(folder);
        watched.rotate(identity);
        watched.trust(trusted);
        watched
    }

    /// Gives the proxy another certificate.
    pub fn rotate(&self, identity: &Identity) {
        self.write(
            "identity.json",
            &json!({"@type": SECRET, "name": IDENTITY, "tls_certificate": identity.secret()}),
        );
    }

    /// Has the proxy trust another authority, and no more the one before.
    pub fn trust(&self, authority: &Authority) {
        let trusted = json!({"trusted_ca": {"inline_string": authority.pem()}});
        self.write("trust.json", &json!({"@type": SECRET, "name": TRUST, "validation_context": trusted}));
    }

    /// Puts a file in the place of another, by a rename, which is what Envoy watches for.
    fn write(&self, name: &str, secret: &Value) {
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        std::fs::write(&new, json!({"resources": [secret]}).to_string()).expect("a writable folder");
        std::fs::rename(new, path).expect("a writable folder");
    }

    fn source(&self, name: &str) -> Value {
        json!({"path_config_source": {"path": self.0.join(name)}, "resource_api_version": "V3"})
    }
}

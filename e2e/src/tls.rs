//! Certificates for one test or one demo: self-signed, made at run time, trusted by nobody else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The names of this machine that a local certificate vouches for.
pub const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// A self-signed certificate and its key.
pub struct Certificate(CertifiedKey<KeyPair>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate(…)")
    }
}

impl Certificate {
    /// Makes a certificate for `names`, which are domains or addresses.
    pub fn self_signed(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Self(rcgen::generate_simple_self_signed(names).expect("a certificate for sound names"))
    }

    /// Writes `cert.pem` and `key.pem` into `folder` and returns their paths in this order.
    pub fn write(&self, folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&chain, self.0.cert.pem())?;
        std::fs::write(&key, self.0.signing_key.serialize_pem())?;
        Ok((chain, key))
    }

    /// Returns a client that trusts this certificate only and offers HTTP/1.1; it shows `own` when the server
    /// asks.
    pub fn client(&self, own: Option<&Self>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain()).expect("a certificate just made");
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(own) => config.with_client_auth_cert(vec![own.chain()], own.key()).expect("a matching key"),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Returns a server that shows this certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![self.chain()], self.key()).expect("a matching key"))
    }

    fn chain(&self) -> CertificateDer<'static> {
        self.0.cert.der().clone()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.0.signing_key.serialize_der().into())
    }
}

/// Returns a client that trusts the certificate in this PEM file only and offers HTTP/1.1.
pub fn client_trusting(file: &Path) -> io::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(file).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
